"""The page about the architecture says what import-linter checks, and pure files are pure."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

from tests.docs.made import ROOT
from tests.docs.pages import code_words, page, section, table

PACKAGE = ROOT / "sockudo_py"
IMPURE = {"asyncio", "logging", "os", "random", "socket", "ssl", "subprocess", "threading", "time"}
VENDORS = {"aiohttp", "asyncmy", "asyncpg", "boto3", "hiredis", "httptools", "redis", "sqlite3", "websockets"}


def contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def imports(tree: ast.Module) -> set[str]:
    """Return the top-level packages that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_the_layers_are_those_of_the_contract() -> None:
    (layers,) = (one["layers"] for one in contracts() if one.get("containers") == ["sockudo_py"])
    rows = [code_words(row["modules"]) for row in table(page("architecture.md"), "layer")]
    assert [sorted(names) for names in rows] == [sorted(re.findall(r"\w+", layer)) for layer in layers]


def test_files_that_call_themselves_pure_import_nothing_impure() -> None:
    wrong: list[tuple[Path, set[str]]] = []
    pure = 0
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        if re.search(r"\bPure\b", ast.get_docstring(tree) or ""):
            pure += 1
            if found := imports(tree) & (IMPURE | VENDORS):
                wrong.append((file, found))
    assert wrong == []
    assert pure >= 50


def test_the_code_has_twenty_words_of_its_own_at_most() -> None:
    assert 10 <= len(table(section(page("glossary.md"), "Our own words"), "word")) <= 20


def test_files_above_600_lines_are_explained() -> None:
    long = [file for file in PACKAGE.rglob("*.py") if len(file.read_text().splitlines()) > 600]
    explained = page("architecture.md")
    assert [str(file.relative_to(PACKAGE)) for file in long if f"`{file.relative_to(PACKAGE)}`" not in explained] == []


def test_the_index_of_decisions_has_each_with_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    files = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    titles = [(path.name, path.read_text().partition("\n")[0]) for path in files]
    listed = re.findall(r"^- \[(\d{4})\]\(([^)]+)\) (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [(name, f"# {number}. {title}") for number, name, title in listed] == titles
