"""What documents, comments and docstrings name exists: files, folders, and the tests of fast paths."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.made import DOCS, ROOT
from tests.docs.pages import code_words, page, table

PACKAGE = ROOT / "sockudo_py"
# Documents about the code. Others name files of readers, too.
ABOUT_THE_CODE = [
    ROOT / "CONTRIBUTING.md",
    *(DOCS / name for name in ("architecture.md", "fast-paths.md", "glossary.md")),
    *sorted((DOCS / "decisions").glob("*.md")),
]
PLACEHOLDER = re.compile(r"\b(NAME|FAMILY|NNNN)\b")
_FILE = r"(?:[\w.-]+/)*[\w-]+\.(?:py|lua)"
IN_DOCUMENT = re.compile(rf"`({_FILE}|(?:[\w.-]+/)+)`")
IN_CODE = re.compile(rf"``({_FILE}|(?:[\w.-]+/)+[\w-]+\.md)``")


def unknown(names: Iterator[str], places: list[Path]) -> list[str]:
    """Return the names that none of these folders has."""
    return sorted(
        {
            name
            for name in names
            if not PLACEHOLDER.search(name) and not any((place / name).exists() for place in places)
        }
    )


@pytest.mark.parametrize("document", ABOUT_THE_CODE, ids=lambda document: str(document.name))
def test_files_and_folders_that_a_document_names_are_there(document: Path) -> None:
    anywhere = {path.name for path in PACKAGE.rglob("*.py")}
    named = (match[1] for match in IN_DOCUMENT.finditer(document.read_text()))
    missing = unknown(named, [ROOT, PACKAGE, ROOT / "tests", ROOT / "tests" / "unit", document.parent])
    assert [name for name in missing if "/" in name or name not in anywhere] == []


def test_files_that_the_code_names_are_there() -> None:
    missing = []
    for file in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.lua"), *(ROOT / "benchmarks").rglob("*.py")]:
        named = (match[1] for match in IN_CODE.finditer(file.read_text()))
        inside = [folder for folder in file.parents if folder.is_relative_to(ROOT)]
        places = [*inside, PACKAGE, PACKAGE / "lua", ROOT / "tests" / "unit"]
        missing += [f"{file.relative_to(ROOT)}: {name}" for name in unknown(named, places)]
    assert missing == []


def test_the_tests_of_fast_paths_are_there() -> None:
    rows = table(page("fast-paths.md"), "fast path")
    assert len(rows) >= 12
    wrong = []
    for row in rows:
        cell = row["test that holds them equal"]
        files = [name for name in code_words(cell) if name.endswith(".py")]
        places = [ROOT / "tests" / "unit", ROOT]
        found = [path for name in files for place in places if (path := place / name).exists()]
        if not files or len(found) != len(files):
            wrong.append(f"{row['fast path']}: names no test, or one that is not there: {cell}")
        tests = "\n".join(path.read_text() for path in found)
        for name in re.findall(r"\b([a-z]\w*(?:_\w+){3,})\b", re.sub(r"`[^`]*`", "", cell)):
            if f"test_{name.strip('_')}" not in tests:
                wrong.append(f"{row['fast path']}: there is no test_{name}")
    assert wrong == []


def test_the_benchmark_of_fast_paths_finds_each_of_them() -> None:
    program = "from benchmarks.twins import TWINS\nfor _, take_away in TWINS.values():\n    take_away()"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)
