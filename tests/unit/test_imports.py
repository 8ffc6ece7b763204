"""What a start imports, and how."""

import gc
import subprocess
import sys

import pytest

from sockudo_py.process.imports import gc_paused

# What no start may wait for. aiohttp and prometheus_client are imported when the port is open already.
LATER = (
    "aiohttp",
    "prometheus_client",
    "http.server",
)
UNUSED = (
    "asyncpg",
    "asyncmy",
    "sockudo_py.apps.databases.database",
    "boto3",
    "botocore",
    "redis",
    "sqlite3",
    "sockudo_py.queues.sqlite.queue",
    "sockudo_py.apps.file",
    "unittest",
)

STARTED = """
import asyncio, json, sys
from sockudo_py.__main__ import main
import sockudo_py.cli.main
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


STARVED = """
import os, resource, sys
from sockudo_py.process.descriptors import is_shortage
from sockudo_py.wiring.serving import web

limits = resource.getrlimit(resource.RLIMIT_NOFILE)

class Starve:
    left = 0  # modules that may still be found before there is no descriptor any more

    def find_spec(self, name, path=None, target=None):
        self.left -= 1
        if self.left == 0:
            os.close(free := os.dup(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))

starve = Starve()
sys.meta_path.insert(0, starve)
failed = 0
while True:
    starve.left = failed + 1
    try:
        web._import()
        break
    except Exception as problem:
        assert is_shortage(problem), problem
        failed += 1
        assert failed < 500
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

from aiohttp import http_parser
print(failed, http_parser.HttpRequestParser.__module__)
"""


@pytest.fixture
def thawed() -> None:
    gc.unfreeze()


def loaded(program: str, *suspects: str) -> list[str]:
    """Return which of the modules a fresh interpreter has loaded when the program printed its list."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return [name for name in suspects if f'"{name}"' in done.stdout]


def test_nothing_that_can_wait_is_imported_before_the_port_is_open() -> None:
    assert loaded(STARTED, "sockudo_py.wiring.serving.web", *LATER, *UNUSED) == ["sockudo_py.wiring.serving.web"]


def test_the_command_line_imports_neither_the_server_nor_what_it_needs() -> None:
    program = "import json, sys; import sockudo_py.cli.main; print(json.dumps(sorted(sys.modules)))"
    assert loaded(program, "sockudo_py.cli.main", "sockudo_py.wiring", "uvloop", *LATER, *UNUSED) == [
        "sockudo_py.cli.main"
    ]


def test_the_collector_is_off_during_imports_and_on_after_them(thawed: None) -> None:
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_an_import_that_fails_leaves_the_collector_on(thawed: None) -> None:
    with pytest.raises(ImportError), gc_paused():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


def test_a_collector_that_was_off_stays_off(thawed: None) -> None:
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_an_import_of_aiohttp_that_breaks_off_anywhere_for_want_of_descriptors_can_be_repeated() -> None:
    done = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    failed, module = done.stdout.split()
    assert int(failed) > 10
    assert module == "aiohttp._http_parser"
