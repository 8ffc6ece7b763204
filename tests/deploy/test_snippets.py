"""Documents show the files of ``deploy/`` as they are."""

from pathlib import Path

import pytest

from tests.deploy.snippets import ROOT, SHOWN, documents, renewed


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_a_document_shows_files_as_they_are(document: Path) -> None:
    text = document.read_text()
    assert text == renewed(text), "python -m tests.deploy.snippets makes it so"


def test_every_configuration_of_a_proxy_is_shown() -> None:
    shown = {found["path"] for document in documents() for found in SHOWN.finditer(document.read_text())}
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy" / "proxies").rglob("*") if path.is_file()}
    assert files
    assert files <= shown
