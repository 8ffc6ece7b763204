"""`make docs` builds the site, strictly, and no page of it asks another host for anything."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
LOADS = {"script", "img", "iframe", "source", "video", "audio", "embed"}
# A style sheet loads what it names so; the names of XML's own spaces in drawings are none.
STYLE = re.compile(r"""(?:url\(|@import\s)\s*["']?((?:https?:)?//[^"')\s]+)""")
LEAST_PAGES = 40


class Loads(HTMLParser):
    """The addresses that a page loads something from, and the texts of its styles."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link":
            self.addresses.append(given["href"])
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in LOADS and "src" in given:
            self.addresses.append(given["src"])
        self.addresses += [part.split()[0] for part in given.get("srcset", "").split(",") if part]
        self.addresses += STYLE.findall(given.get("style", ""))
        assert "mermaid" not in given.get("class", ""), "the theme loads Mermaid from elsewhere"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def read(page: Path) -> Loads:
    loads = Loads()
    loads.feed(page.read_text())
    return loads


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= LEAST_PAGES
    for page in pages:
        foreign = [address for address in read(page).addresses if urlsplit(address).netloc]
        assert not foreign, f"{page.relative_to(site)} loads {foreign}"


def test_no_style_sheet_loads_anything_from_another_host(site: Path) -> None:
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert not STYLE.findall(sheet.read_text()), sheet.name


def test_what_pages_load_and_link_to_is_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links begin at the root of the server
            continue
        found = read(page)
        for address in found.addresses + found.links:
            parts = urlsplit(address)
            if parts.scheme or not parts.path:
                continue
            target = (page.parent / unquote(parts.path)).resolve()
            assert target.is_file() or (target / "index.html").is_file(), f"{page.relative_to(site)}: {address}"
