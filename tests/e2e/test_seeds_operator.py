"""What operators do, word for word as the documents have it: redis-cli, the recovery script, metrics, usage.

Items of tests/SEEDS.md are named k14, k16 ... in the tests.
"""

import asyncio
import json
import os
import re
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.queues.redis.queue import RedisQueue
from tests.support import redis_cli
from tests.support.client import eventually
from tests.support.receiver import Answer
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.seeds import live
from tests.support.site import Site

FINAL = {"max_retries": 0}

# After the document's webhook-recovery.sh: warn from a threshold on, show the newest, send the oldest again.
RECOVERY = """#!/bin/bash
FAILED=$(redis-cli llen sockudo_queue:failed)
if [ "$FAILED" -gt 100 ]; then
    echo "High number of failed webhooks: $FAILED"
    redis-cli lrange sockudo_queue:failed 0 5
    redis-cli rpoplpush sockudo_queue:failed sockudo_queue:default > /dev/null
fi
"""


@pytest.fixture
def shell(private_redis: RedisServer, tmp_path: Path) -> Callable[[str], Any]:
    """Run a line in a shell whose redis-cli talks to the private server; return what it printed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    redis_cli.install(folder)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "REDIS_PORT": str(private_redis.port)}

    async def run(line: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-c", line], env=environment, capture_output=True, check=True, timeout=60
        )
        assert done.stderr == b""
        return bytes(done.stdout).decode()

    return run


@pytest.fixture
async def queue(private_redis: RedisServer) -> AsyncIterator[RedisQueue]:
    made = RedisQueue(private_redis.url)
    await made.open()
    yield made
    await made.close()


async def test_k13_k14_operators_see_dead_letters_and_send_one_again(
    queue: RedisQueue, shell: Callable[[str], Any], tmp_path: Path
) -> None:
    webhook = {"path": "/hook", "event_types": ["x"], "retry": FINAL, "batching": {"enabled": False}}
    async with live(tmp_path, webhook, queue=queue) as (site, receiver):
        assert await shell("redis-cli llen sockudo_queue:failed") == "0\n"
        receiver.script(*[Answer(503)] * 3)
        for number in range(3):
            await site.trigger("x", {"n": number})
            await site.wait_for_dead(number + 1)
        assert await shell("redis-cli llen sockudo_queue:failed") == "3\n"
        shown = [json.loads(line) for line in (await shell("redis-cli lrange sockudo_queue:failed 0 5")).splitlines()]
        assert [job["events"][0]["data"]["n"] for job in shown] == [2, 1, 0]
        assert shown[0]["error"] == {"class": "http_5xx", "status": 503, "message": "the endpoint answered 503"}
        moved = json.loads(await shell("redis-cli rpoplpush sockudo_queue:failed sockudo_queue:default"))
        assert moved == shown[-1]
        requests = await receiver.wait_for(4)
        assert requests[3].json()["events"] == requests[0].json()["events"]
        assert requests[3].headers["webhook-id"] == requests[0].headers["webhook-id"]
        assert requests[3].headers["x-sockudo-attempt"] == "1"
        assert await shell("redis-cli llen sockudo_queue:failed") == "2\n"


async def test_k14_the_recovery_script_warns_above_a_hundred_and_brings_one_back(
    queue: RedisQueue, shell: Callable[[str], Any], tmp_path: Path
) -> None:
    script = tmp_path / "webhook-recovery.sh"
    script.write_text(RECOVERY)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    webhook = {"path": "/hook", "event_types": ["x"], "retry": FINAL, "batching": {"enabled": False}}
    async with live(tmp_path, webhook, queue=queue) as (site, receiver):
        receiver.script(*[Answer(500)] * 101)
        for number in range(100):
            await site.trigger("x", {"n": number})
        await receiver.until(lambda: len(receiver.received) == 100, "100 deliveries")
        await eventually_dead(shell, 100)
        assert await shell(str(script)) == ""
        await site.trigger("x", {"n": 100})
        await eventually_dead(shell, 101)
        first, *jobs = (await shell(str(script))).splitlines()
        assert first == "High number of failed webhooks: 101"
        assert len(jobs) == 6
        assert all(json.loads(job)["kind"] == "webhook" for job in jobs)
        await receiver.wait_for(102)
        assert await shell("redis-cli llen sockudo_queue:failed") == "100\n"


async def eventually_dead(shell: Callable[[str], Any], count: int) -> None:
    """Wait until so many dead letters are there; fail after a minute."""
    deadline = time.monotonic() + 60
    while (seen := await shell("redis-cli llen sockudo_queue:failed")) != f"{count}\n":
        assert time.monotonic() < deadline, f"{seen.strip()} dead letters, not {count}"
        await asyncio.sleep(0.05)


async def test_d13_redis_cli_ping(shell: Callable[[str], Any]) -> None:
    assert await shell("redis-cli ping") == "PONG\n"


# -- a running server


async def test_k16_the_metrics_port_has_lines_about_webhooks(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("c")
        await eventually(lambda: hooked.events() != [], "a webhook arrives")
    status, body = hooked.server.get("/metrics", hooked.server.metrics_port)
    assert status == 200
    lines = [line for line in body.decode().splitlines() if "webhook" in line and not line.startswith("#")]
    assert any(re.match(r'sockudo_webhook_attempts_total\{.*outcome="delivered".*\} [1-9]', line) for line in lines)
    assert any("queue_depth" in line for line in lines)


async def test_k16_k17_usage_shows_the_documented_figures_and_the_endpoints_without_secrets(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("c")
        await eventually(lambda: hooked.events() != [], "a webhook arrives")
    status, body = hooked.server.get("/usage")
    section = json.loads(body)["webhooks"]
    assert status == 200
    assert re.fullmatch(r"\d{1,3}%", section["webhook_success_rate"])
    assert re.fullmatch(r"\d+ms", section["average_processing_time"])
    assert isinstance(section["queue_depth"], int)
    assert isinstance(section["failed_webhooks_last_hour"], int)
    mine = [one for one in section["endpoints"] if one["app_id"] == hooked.app.id]
    assert [one["url"].startswith("http://") and one["url"].endswith("/...") for one in mine] == [True]
    assert hooked.app.secret not in body.decode()
