"""The samples in PHP, behind PHP's own web server: on the machine, or from Debian's package."""

import asyncio
import http.client
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.debian import give_up, packages
from tests.support.ports import free_port

_ROUTER = Path(__file__).parents[1] / "e2e" / "php" / "router.php"
_DEADLINE = 30.0

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, Any]]]


def _program() -> tuple[str, dict[str, str]]:
    found = shutil.which("php")
    if found is not None:
        return found, {**os.environ}
    unpacked = packages("php-cli")
    binaries = sorted(unpacked.root.glob("usr/bin/php[0-9]*"))
    if not binaries:
        give_up("no php in the package php-cli")
    return str(binaries[0]), unpacked.env


@asynccontextmanager
async def php(secret: str) -> AsyncIterator[Post]:
    """Run the samples with this secret; yield what posts a request and returns the status and the JSON, or None."""
    program, env = await asyncio.to_thread(_program)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        *("-S", f"127.0.0.1:{port}", str(_ROUTER)),
        env={**env, "SECRET": secret},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    def send(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_DEADLINE)
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if answer.status == 200 else None

    async def post(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        sent = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        return await asyncio.to_thread(send, path, sent, body)

    try:
        await _listening(process, port)
        yield post
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    deadline = time.monotonic() + _DEADLINE
    while True:
        assert process.returncode is None, "PHP's web server has ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < deadline, "PHP's web server does not listen"
            await asyncio.sleep(0.02)  # polls, with a deadline
            continue
        writer.close()
        return
