"""The link that a start on a terminal prints logs in, once."""

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.support.chromium import a_page
from tests.support.ports import free_ports

DEADLINE = 60  # seconds for the next words
pytestmark = pytest.mark.clients
LINK = re.compile(rb"log in +(http://[\w.:]+/dashboard/#login=\S+)")


@pytest.fixture
def link(tmp_path: Path) -> Iterator[str]:
    """Start a server on a terminal, as `make run` does, and return the link that it prints."""
    port, metrics_port = free_ports(2)
    ours, theirs = pty.openpty()
    options = ["--port", str(port), "--admin-key-file", "data/admin-key"]
    env = {**os.environ, "METRICS_PORT": str(metrics_port), "QUEUE_DRIVER": "memory", "COLUMNS": "300"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sockudo_py", "start", *options], cwd=tmp_path, env=env, stderr=theirs, stdout=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while (found := LINK.search(said)) is None:
            assert select.select([ours], [], [], DEADLINE)[0], said
            more = os.read(ours, 4096)
            assert more, said
            said += more
        yield found[1].decode()
    finally:
        process.terminate()
        process.wait(60)
        os.close(ours)


async def test_the_link_logs_in_once(browser: Browser, link: str) -> None:
    async with a_page(browser, link) as (page, _):
        await page.get_by_role("heading", name="Overview").wait_for()
        assert "login" not in page.url
    async with a_page(browser, link) as (page, complaints):
        await page.get_by_role("heading", name="Log in").wait_for()
        complaints.found.clear()
