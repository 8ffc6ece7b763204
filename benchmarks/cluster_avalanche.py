"""Avalanche over two nodes: one is killed; how long until its clients are back and subscribed at the other one.

A unit is one client that is back. The CPU is the survivor's until all are back; latencies count from the signal. The
clients are on channels that live on all the while: what a receiver of webhooks hears of their end is false.
"""

import asyncio
import json
import os
import signal
import time
import urllib.request
from typing import Any, Final

import orjson

from benchmarks.avalanche import crowd
from benchmarks.crowd import PATIENCE, Returned
from benchmarks.harness import Result, Subject
from benchmarks.nodes import nodes
from benchmarks.receiver import receiving
from benchmarks.subjects import Options, Starter

CLIENTS: Final = 10_000
SWEPT_WITHIN: Final = 30.0  # seconds: the node timeout of 10 s, a heartbeat, and a loaded machine
QUIET: Final = 5.0  # seconds after the sweep: the vacate delay of 3 s, and the delivery
BEGINNINGS: Final = (b"channel_occupied", b"member_added")
ENDS: Final = (b"channel_vacated", b"member_removed")


def cluster_of(subject: Subject) -> dict[str, Any]:
    """Return what a node knows of the cluster."""
    with urllib.request.urlopen(f"http://127.0.0.1:{subject.port}/usage", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)["cluster"]
        return found


async def swept(survivor: Subject, since: float) -> float:
    """Return the seconds from a time until the survivor has taken the other node out."""
    while time.monotonic() < since + SWEPT_WITHIN:
        shown = await asyncio.to_thread(cluster_of, survivor)
        if shown["swept_nodes"] and shown["nodes"] == 1 and not shown["pending"] and not shown["outbox"]:
            return time.monotonic() - since
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the dead node was not taken out within {SWEPT_WITHIN:g} s")


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure sockudo_py."""
    return [await _avalanche(starter, int(CLIENTS * scale))] if starter.name == "sockudo_py" else []


async def _avalanche(starter: Starter, count: int) -> Result:
    async with receiving(*BEGINNINGS) as begun, receiving(*ENDS) as ended:
        both = [_endpoint(begun.port, BEGINNINGS), _endpoint(ended.port, ENDS)]
        options = Options(app={"webhooks": both}, server={"queue": {"driver": "redis"}})
        with nodes(starter, 2, options) as site:
            dying, survivor = site.subjects
            with crowd(count, dying.port, survivor.port) as clients:
                await begun.wait(1, PATIENCE)
                await begun.wait(1 << 30, 2.0)  # until nothing more comes
                told = begun.events
                cpu, redis_cpu = survivor.cpu(), site.redis_cpu()
                signalled = time.monotonic()
                os.kill(dying.pid, signal.SIGKILL)
                assert clients.stdout is not None
                said = await asyncio.wait_for(asyncio.to_thread(clients.stdout.readline), 3 * PATIENCE)
                returned = Returned(**orjson.loads(said))
                cpu, redis_cpu = survivor.cpu() - cpu, site.redis_cpu() - redis_cpu
                all_back = time.monotonic() - signalled
                sweep_cpu, sweep_redis = survivor.cpu(), site.redis_cpu()
                took = await swept(survivor, signalled)
                sweep_cpu, sweep_redis = survivor.cpu() - sweep_cpu, site.redis_cpu() - sweep_redis
                await asyncio.sleep(QUIET)
                false = ended.events + begun.events - told
    back = len(returned.back_at)
    seconds = returned.until(0.99) - signalled
    return Result(
        "avalanche over two nodes",
        site.name,
        back,
        seconds,
        cpu / max(1, back) * 1e6,
        (returned.until(0.5) - signalled) * 1e3,
        seconds * 1e3,
        load_share=min(1.0, returned.load_cpu / all_back),
        note=f"{returned.lost:,} lost, all back after {all_back:.2f} s; Redis {redis_cpu / max(1, back) * 1e6:.0f} us "
        f"a client; {told:,} beginnings told before, {false or 'no'} false events; swept after {took:.1f} s, which took the "
        f"survivor {sweep_cpu * 1e3:.0f} ms and Redis {sweep_redis * 1e3:.0f} ms of CPU",
    )


def _endpoint(port: int, names: tuple[bytes, ...]) -> dict[str, object]:
    return {"url": f"http://127.0.0.1:{port}/", "event_types": [name.decode() for name in names]}
