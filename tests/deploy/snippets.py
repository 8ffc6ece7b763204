"""The files of ``deploy/`` that documents show: ``python -m tests.deploy.snippets`` puts them there anew.

``<!-- file: PATH -->`` stands before the code block that shows the file.
"""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SHOWN: Final = re.compile(
    r"(?P<head><!-- file: (?P<path>\S+) -->\n```[^\n]*\n)(?P<code>.*?)(?=^```$)", re.MULTILINE | re.DOTALL
)


def documents() -> list[Path]:
    """Return the documents that may show files."""
    return sorted((ROOT / "docs").rglob("*.md"))


def renewed(text: str) -> str:
    """Return a document with the files as they are now."""
    return SHOWN.sub(lambda found: found["head"] + (ROOT / found["path"]).read_text(), text)


if __name__ == "__main__":
    for document in documents():
        document.write_text(renewed(document.read_text()))
