"""What a start imports, and how."""

import gc
import subprocess
import sys

import pytest

from sockudo_py.imports import uncollected

# What no start may wait for. aiohttp and prometheus_client are imported when the port is open already.
LATER = (
    "aiohttp",
    "prometheus_client",
    "http.server",
)
UNUSED = ("boto3", "botocore", "redis", "sqlite3", "sockudo_py.queues.sqlite", "sockudo_py.apps.file", "unittest")

STARTED = """
import asyncio, json, sys
from sockudo_py.__main__ import main
import sockudo_py.cli
from sockudo_py.config import load
from sockudo_py.wiring.server import Server

async def start():
    server = Server(load(None, {"QUEUE_DRIVER": "memory", "PORT": "0", "METRICS_PORT": "0"}))
    try:
        await server.start()
        print(json.dumps(sorted(sys.modules)))
    finally:
        await server.stop()

asyncio.run(start())
"""


@pytest.fixture
def thawed() -> None:
    gc.unfreeze()


def loaded(program: str, *suspects: str) -> list[str]:
    """Return which of the modules a fresh interpreter has loaded when the program printed its list."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return [name for name in suspects if f'"{name}"' in done.stdout]


def test_nothing_that_can_wait_is_imported_before_the_port_is_open() -> None:
    assert loaded(STARTED, "sockudo_py.wiring.web", *LATER, *UNUSED) == ["sockudo_py.wiring.web"]


def test_the_command_line_imports_neither_the_server_nor_what_it_needs() -> None:
    program = "import json, sys; import sockudo_py.cli; print(json.dumps(sorted(sys.modules)))"
    assert loaded(program, "sockudo_py.cli", "sockudo_py.wiring", "uvloop", *LATER, *UNUSED) == ["sockudo_py.cli"]


def test_the_collector_is_off_during_imports_and_on_after_them(thawed: None) -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_an_import_that_fails_leaves_the_collector_on(thawed: None) -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


def test_a_collector_that_was_off_stays_off(thawed: None) -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
