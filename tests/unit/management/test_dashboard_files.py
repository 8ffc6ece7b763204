"""The dashboard's files: what is vendored is what it was, the page is small, nothing comes from elsewhere."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import sockudo_py.management.dashboard as package
from sockudo_py.management.dashboard.files import read_files, security_headers

STATIC = Path(package.__file__).parent / "static"
MOST_PAGE = 60 * 1024  # bytes, gzipped


def test_vendored_files_have_their_checksums_and_licences() -> None:
    vendor = STATIC / "vendor"
    listed = json.loads((vendor / "lock.json").read_text())["sha256"]
    present = {one.name for one in vendor.iterdir()} - {"lock.json"}
    assert set(listed) == present
    assert any(name.startswith("LICENSE") for name in present)
    for name, digest in listed.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_the_page_is_below_sixty_kilobytes() -> None:
    assert sum(len(gzip.compress(one.body)) for one in read_files().values()) < MOST_PAGE


def test_our_code_sets_no_html_and_asks_no_other_host() -> None:
    for path, file in read_files().items():
        text = file.body.decode()
        if not path.startswith("vendor/"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), (
                path
            )
            assert "dangerouslySetInnerHTML" not in text, path
        hosts = set(re.findall(r"https?://([\w.-]+)", text)) - {"www.w3.org", "example.com", "RECEIVER"}
        assert not hosts, (path, hosts)
        assert not re.search(r"\sstyle=\"", text), path


def test_the_policy_allows_nothing_from_elsewhere() -> None:
    headers = security_headers()
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    framed = security_headers(("https://portal.example",))
    assert "frame-ancestors https://portal.example" in framed["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed
