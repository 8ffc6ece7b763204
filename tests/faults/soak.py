"""A random mix of faults for as long as you like: ``make soak`` (SOAK_SECONDS, SOAK_SEED).

Two worker processes share a Redis queue and send to three receivers: one good, one moody, one often hung. Meanwhile
workers are killed, frozen and stopped, Redis is killed, frozen, filled, flushed of scripts and cut off, at random. At
the end all faults are lifted; invariants L and D must hold for everything that the queue ever took.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.faults.harness import assert_duplicates_alike, assert_nothing_lost, numbers, stored_in_redis
from tests.faults.process import Options
from tests.faults.workers import WorkerProcess, Workers, workers
from tests.support.receiver import OK, Answer, Behaviour, Hang, Raw, Receiver, Reset
from tests.support.redis_proxy import ReplyProxy, reply_proxy
from tests.support.redis_server import RedisServer

RATE = 100  # events a second, of all workers
MOODS: list[Behaviour] = [
    OK,
    Answer(500),
    Answer(404),
    Answer(429, headers=(("Retry-After", "1"),)),
    Answer(delay=0.4),
    Answer(302, headers=(("Location", "http://169.254.169.254/"),)),
    Answer(200, huge=1 << 20),
    Reset(),
    Raw(b""),
    Raw(b"not http\r\n\r\n"),
    Raw(b"HTTP/1.1 200 OK\r\nX: x\r\n" * 3, pause=0.05),
    Hang(),
]


PROGRESS = 10.0  # seconds between two lines


def say(text: str) -> None:
    """Show how far it is."""
    print(f"soak: {text}", flush=True)  # noqa: T201


class Soak:
    """One run. Everything random comes from one seed (what the processes make of it still depends on their timing)."""

    def __init__(self, seed: int, seconds: float, receiver: Receiver, redis: RedisServer, proxy: ReplyProxy) -> None:
        self.dice = random.Random(seed)
        self.seconds = seconds
        self.receiver = receiver
        self.redis = redis
        self.proxy = proxy
        self.sent = 0
        self.counts: dict[str, int] = {}

    async def run(self, crew: Workers) -> None:
        """Send events and make faults until the time is over; then let everything settle."""
        for _ in range(2):
            await crew.start()
        end = time.monotonic() + self.seconds
        sending = asyncio.create_task(self._send(crew, end))
        told = time.monotonic()
        while time.monotonic() < end:
            await self._fault(crew)
            await asyncio.sleep(self.dice.uniform(0.2, 1.5))
            if time.monotonic() > told + PROGRESS:
                told = time.monotonic()
                done = 100 * (1 - max(0.0, end - told) / self.seconds)
                say(
                    f"{done:3.0f} %, {max(0.0, end - told):.0f} s left: {self.sent} sent, {len(crew.taken)} taken, "
                    f"{len(self.receiver.received)} requests, {sum(self.counts.values())} faults"
                )
        await sending
        self.receiver.default = OK
        for path in ("/good", "/moody", "/hung"):
            self.receiver.script(path=path, then=OK)

    async def _send(self, crew: Workers, end: float) -> None:
        while time.monotonic() < end:
            alive = _alive(crew)
            if alive:
                self.dice.choice(alive).send(self.sent, 5)
                self.sent += 5
            await asyncio.sleep(5 / RATE)

    async def _fault(self, crew: Workers) -> None:
        faults: list[tuple[float, Callable[[Workers], Awaitable[None]]]] = [
            (6, self.moods),
            (2, self.hung_or_not),
            (3, self.kill_worker),
            (2, self.stop_worker),
            (2, self.freeze_worker),
            (1, self.kill_redis),
            (1, self.freeze_redis),
            (3, self.lose_replies),
            (1, self.out_of_memory),
            (1, self.disk_full),
            (1, self.read_only),
            (2, self.cut_connections),
            (1, self.redrive_by_hand),
            (1, self.poison),
        ]
        (fault,) = self.dice.choices([call for _, call in faults], [weight for weight, _ in faults])
        name = fault.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        await fault(crew)

    async def moods(self, _: Workers) -> None:
        """The moody receiver does a few things."""
        self.receiver.script(*self.dice.choices(MOODS, k=30), path="/moody", then=OK)

    async def hung_or_not(self, _: Workers) -> None:
        """The hung receiver wakes up, or falls asleep again."""
        self.receiver.script(path="/hung", then=OK if self.dice.random() < 0.5 else Hang())

    async def kill_worker(self, crew: Workers) -> None:
        """SIGKILL one, and start another."""
        await self.dice.choice(_alive(crew)).kill()
        await crew.start()

    async def stop_worker(self, crew: Workers) -> None:
        """SIGTERM one, which must end well, and start another."""
        worker = self.dice.choice(_alive(crew))
        worker.signal(signal.SIGTERM)
        code = await worker.ended(30)
        assert code == 0, f"exit code {code}:\n{crew.logged()[-3000:]}"
        await crew.start()

    async def freeze_worker(self, crew: Workers) -> None:
        """SIGSTOP one for longer than its leases."""
        worker = self.dice.choice(_alive(crew))
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(0.2, 2.5))
        worker.signal(signal.SIGCONT)

    async def kill_redis(self, _: Workers) -> None:
        """SIGKILL Redis; it comes back with its append-only file."""
        self.redis.kill()
        await asyncio.sleep(self.dice.uniform(0.0, 1.0))
        await asyncio.to_thread(self.redis.start)

    async def freeze_redis(self, _: Workers) -> None:
        """SIGSTOP Redis."""
        self.redis.freeze()
        await asyncio.sleep(self.dice.uniform(0.2, 3.0))
        self.redis.thaw()

    async def lose_replies(self, _: Workers) -> None:
        """Some answers of Redis never arrive."""
        self.proxy.lose_replies = self.dice.randint(1, 5)

    async def out_of_memory(self, _: Workers) -> None:
        """Redis takes no more."""
        await self._cli("config", "set", "maxmemory", "1")
        await asyncio.sleep(self.dice.uniform(0.2, 2.0))
        await self._cli("config", "set", "maxmemory", "0")

    async def disk_full(self, _: Workers) -> None:
        """Redis can't write its file."""
        self.redis.fill_disk(True)
        await asyncio.sleep(self.dice.uniform(0.2, 2.0))
        self.redis.fill_disk(False)
        await self._cli("set", "soak", "can write again")  # what it had promised is in the file now

    async def read_only(self, _: Workers) -> None:
        """Redis is a replica for a while."""
        await self._cli("replicaof", "127.0.0.1", "1")
        await asyncio.sleep(self.dice.uniform(0.2, 1.0))
        await self._cli("replicaof", "no", "one")

    async def cut_connections(self, _: Workers) -> None:
        """Scripts are forgotten and connections are cut."""
        await self._cli("script", "flush")
        await self._cli("client", "kill", "type", "normal", "skipme", "yes")

    async def redrive_by_hand(self, _: Workers) -> None:
        """An operator moves dead letters back."""
        for _turn in range(self.dice.randint(1, 20)):
            await self._cli("rpoplpush", "sockudo_queue:failed", "sockudo_queue:default")

    async def poison(self, _: Workers) -> None:
        """Somebody pushes nonsense."""
        await self._cli("lpush", "sockudo_queue:default", "this is no job")

    async def _cli(self, *words: str) -> None:
        for _attempt in range(100):
            try:
                await asyncio.to_thread(self.redis.cli, *words)
                return
            except Exception:  # noqa: BLE001 - a fault of before is still in force: MISCONF, READONLY, loading
                await asyncio.sleep(0.1)


def _alive(crew: Workers) -> list[WorkerProcess]:
    return [worker for worker in crew.all if worker.process.returncode is None]


async def soak(seed: int, seconds: float, folder: Path) -> str:
    """Run, check L and D, and return what happened. Raises AssertionError when an invariant does not hold."""
    redis = RedisServer(folder / "redis", aof=True)
    redis.start()
    try:
        async with Receiver() as receiver, reply_proxy(redis.port) as proxy:
            options = Options(
                {f"wh_{name}": receiver.url(f"/{name}") for name in ("good", "moody", "hung")},
                proxy.url,
                window=0.05,
                size=20,
                timeout=1.0,
                schedule=[0.1, 0.2, 0.4, 0.8, 1.6],
                slow_start=True,
                response_timeout=1.0,
            )
            run = Soak(seed, seconds, receiver, redis, proxy)
            async with workers(options, folder) as crew:
                await run.run(crew)
                say("100 %: no more faults; waiting until everything is delivered, at most 90 s")
                left = await _settle(redis, crew)
                say("checking that nothing was lost, and that what came twice is the same")
                taken = crew.taken
                for name in ("good", "moody", "hung"):
                    received = receiver.at(f"/{name}")
                    assert_duplicates_alike(received)
                    try:
                        assert_nothing_lost(taken, received, stored_in_redis(redis, f"wh_{name}"))
                    except AssertionError as error:
                        raise AssertionError(f"/{name}: {error}") from None
            got = numbers(receiver.received)
            return (
                f"{run.sent} events sent, {len(taken)} taken by the queue, {len(receiver.received)} requests, "
                f"{len(got) - 3 * len(set(got))} repeated events, {left} dead letters\nfaults: {run.counts}"
            )
    finally:
        redis.kill()


async def _settle(redis: RedisServer, crew: Workers) -> int:
    """Wait until only dead letters are left; return how many."""
    end = time.monotonic() + 90
    while True:
        waiting = int(str(await asyncio.to_thread(redis.cli, "zcard", "sockudo_queue:depth")))
        flying = int(str(await asyncio.to_thread(redis.cli, "hlen", "sockudo_queue:active")))
        delayed = int(str(await asyncio.to_thread(redis.cli, "zcard", "sockudo_queue:delayed")))
        spooled = sum([(await worker.tell())["waiting"] for worker in _alive(crew)])
        if not waiting + flying + delayed + spooled:
            return int(str(await asyncio.to_thread(redis.cli, "llen", "sockudo_queue:failed")))
        assert time.monotonic() < end, f"waiting {waiting}, active {flying}, delayed {delayed}, spooled {spooled}"
        await asyncio.sleep(0.2)


def main() -> int:
    """Run with SOAK_SECONDS (600) and SOAK_SEED (random, printed)."""
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(1 << 31))
    seconds = float(os.environ.get("SOAK_SECONDS") or 600)
    say(f"SOAK_SEED={seed} SOAK_SECONDS={seconds:.0f}; a line every {PROGRESS:.0f} s")
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        print(asyncio.run(soak(seed, seconds, folder)))  # noqa: T201
    except BaseException:
        print(f"failed; logs in {folder}; again: SOAK_SEED={seed} make soak", file=sys.stderr)  # noqa: T201
        raise
    shutil.rmtree(folder)
    print("L and D hold")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
