"""Reads documents: sections, code, tables."""

import re
from pathlib import Path

from tests.docs.made import DOCS

_CELLS = re.compile(r"(?<!\\)\|")


def page(name: str) -> str:
    """Return the text of a document below ``docs/``."""
    return (DOCS / name).read_text()


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, with its subsections."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert found, f"there is no heading {heading}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def blocks(text: str, language: str) -> list[str]:
    """Return the code in this language."""
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def table(text: str, first: str) -> list[dict[str, str]]:
    """Return the rows of the table whose first column is called ``first``."""
    lines = text.splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith(f"| {first} |")]
    assert len(heads) == 1, f"{len(heads)} tables begin with {first}"
    names = _row(lines[heads[0]])
    rows = []
    for line in lines[heads[0] + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(names, _row(line), strict=True)))
    return rows


def code_words(cell: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def documents() -> list[Path]:
    """Return every document of the repository that people read."""
    return sorted(DOCS.rglob("*.md"))


def _row(line: str) -> list[str]:
    return [cell.strip() for cell in _CELLS.split(line.strip().strip("|"))]
