"""Parts of documents that are made of the code are fresh, and none is left out."""

from pathlib import Path

import pytest

from tests.docs.made import DOCS, PART, PARTS, documents, made


@pytest.mark.parametrize(("document", "text"), documents().items(), ids=lambda value: getattr(value, "stem", ""))
def test_what_is_made_is_fresh(document: Path, text: str) -> None:
    assert text == made(text), "make it again: python -m tests.docs.made"


def test_every_part_stands_in_a_document() -> None:
    used = {part["name"] for text in documents().values() for part in PART.finditer(text)}
    assert used == set(PARTS)


def test_no_key_promises_something_for_null_where_null_means_the_default() -> None:
    rows = [
        line.split(" | ") for line in (DOCS / "configuration.md").read_text().splitlines() if line.startswith("| `")
    ]
    keys = [row for row in rows if len(row) >= 4]  # key, values, default, meaning
    assert len(keys) > 300
    assert [key[0] for key in keys if key[2] != "`null`" and "null:" in key[3]] == []


def test_no_mark_is_misspelt() -> None:
    for path in DOCS.rglob("*.md"):
        text = path.read_text()
        assert text.count("<!-- made:") == text.count("<!-- /made -->") == len(PART.findall(text)), path
