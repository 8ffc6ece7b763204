"""Reads documents: sections, code, tables."""

import re
from pathlib import Path

from tests.docs.made import DOCS

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CELLS = re.compile(r"(?<!\\)\|")


def page(name: str) -> str:
    """Return the text of a document below ``docs/``."""
    return (DOCS / name).read_text()


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, with its subsections."""
    headings = _FENCED.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)  # a line of code may begin with # too
    found = re.search(rf"^(#+) {re.escape(heading)}\n", headings, re.MULTILINE)
    assert found, f"there is no heading {heading}"
    end = re.compile(rf"^#{{1,{len(found[1])}}} ", re.MULTILINE).search(headings, found.end())
    return text[found.end() : end.start() if end else None]


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
