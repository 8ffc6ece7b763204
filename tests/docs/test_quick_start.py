"""docs/quick-start.md, step by step: its programs and its configuration as they stand there, on free ports."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import blocks, page, section
from tests.support.client import Client, connected
from tests.support.ports import free_ports
from tests.support.server import TestApp, running

DOCUMENT = page("quick-start.md")
APP = TestApp("1", "app-key", "app-secret")
DEADLINE = 60.0


def on_ports(text: str, **ports: int) -> str:
    """Return a text of the page with the ports of this run."""
    return text.replace(":3000", f":{ports['receiver']}").replace(", 3000)", f", {ports['receiver']})")


@contextmanager
def receiver(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the receiver of the page for the block."""
    [code] = blocks(section(DOCUMENT, "2. A receiver for webhooks"), "python")
    (folder / "receiver.py").write_text(on_ports(code, receiver=port))
    process = subprocess.Popen(
        [sys.executable, "receiver.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(folder: Path, *command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_every_step_does_what_the_page_says(tmp_path: Path) -> None:
    port, own, metrics = free_ports(3)
    [configuration] = blocks(section(DOCUMENT, "3. A configuration"), "json")
    given = json.loads(on_ports(configuration, receiver=port))
    given["webhooks"] = {"vacate_delay_ms": 300}
    (tmp_path / "first.json").write_text(json.dumps(given))
    run(tmp_path, "-m", "sockudo_py", "check-config", "--config", "first.json")

    given["queue"] = {"sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
    with receiver(tmp_path, port) as received, running(given, tmp_path, ports=(own, metrics)) as server:
        commands = re.findall(r"sockudo-py (webhooks test [^`\n]*)`", DOCUMENT)
        assert len(commands) == 1
        assert "delivered" in run(tmp_path, "-m", "sockudo_py", *commands[0].split())
        assert (await _line(received)).startswith("genuine {")

        async with connected(server, APP) as client:
            await _publish(tmp_path, client, own)
            occupied = await _line(received)
        assert occupied.startswith("genuine {")
        assert '"events":[{"name":"channel_occupied","channel":"news"' in occupied
        assert '"channel_vacated"' in await _line(received)


async def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), DEADLINE)


async def _publish(folder: Path, client: Client, port: int) -> None:
    await client.subscribe("news")
    [program] = blocks(section(page("clients/python.md"), "Without an SDK"), "python")
    (folder / "backend.py").write_text(program)
    lines = blocks(section(DOCUMENT, "5. Publish"), "")[0].splitlines()
    exported = dict(word.split("=", 1) for word in lines[0].removeprefix("export ").split())
    assert lines[1] == """python3 backend.py publish news headline '{"text": "hello"}'"""
    exported["PUSHER_PORT"] = str(port)
    out = run(folder, "backend.py", "publish", "news", "headline", '{"text": "hello"}', env=exported)
    assert out.strip() == "200 {}"
    frame = await client.expect("headline", "news")
    assert frame.data == {"text": "hello"}
