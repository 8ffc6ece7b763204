"""A hook of MkDocs: makes files outside ``docs/`` a part of the site, and turns links to them into links within it.

A link in a document is a path in the repository, so it works in an editor and on a forge too.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Path in the repository, path in the site.
OUTSIDE = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "tests/CONFORMANCE.md": "project/conformance.md",
    "tests/SEEDS.md": "project/seeds.md",
    "tests/faults/FAULTS.md": "project/faults.md",
    "config.example.json": "files/config.example.json",
    "ops/alerts.yml": "files/alerts.yml",
    "ops/grafana-dashboard.json": "files/grafana-dashboard.json",
    "sockudo_py/receiver.py": "files/receiver.py",
}
INSIDE = {place: name for name, place in OUTSIDE.items()}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions at the end of the navigation."""
    found = (path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs/decisions").glob("*.md"))
    pages = sorted(found, key=lambda name: (not name.endswith("/README.md"), name))
    [*_, development] = config.nav or []
    development["Development"][-1] = {"Decisions": pages}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside to those of the site."""
    for name, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with its links as paths in the site."""
    here = page.file.src_uri
    name = INSIDE.get(here, f"docs/{here}")

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[1]))
        place = OUTSIDE.get(target) or target.removeprefix("docs/")
        return posixpath.relpath(place, posixpath.dirname(here) or ".")

    return LINK.sub(link, markdown)
