"""What a kill -9 of Redis costs: ``python -m tests.faults.held_writes [--kills 6] [--fsync 0.8]``.

Nothing of ours takes part: a plain client writes keys to a plain redis-server one after the other, each only when the
one before was acknowledged. ``strace`` (which must be there) makes every fsync take ``--fsync`` seconds, as a busy disk
does. Redis is killed at a random moment and started again; what was acknowledged and is not there is lost.
"""

import argparse
import random
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection

from tests.support.ports import free_port
from tests.support.redis_server import require_redis_binary

EVERY = 0.002  # seconds between two writes
POLICIES = ("everysec", "no", "always")


def _start(folder: Path, port: int, policy: str, fsync: float) -> tuple[subprocess.Popen[bytes], Redis]:
    """Start a redis-server whose fsync takes so long; return the process and a client once it answers."""
    words = [require_redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    words += ["--appendonly", "yes", "--appendfsync", policy]
    if fsync:
        inject = f"inject=fdatasync:delay_enter={fsync * 1e6:.0f}"
        words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject, *words]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = Redis(port=port, protocol=2)
    while True:
        try:
            client.ping()
            return process, client
        except NoConnection:
            assert process.poll() is None, "redis-server did not start"
            time.sleep(0.02)


def _kill(process: subprocess.Popen[bytes], client: Redis) -> float:
    """SIGKILL the redis-server itself; return when."""
    pid = client.info("server")["process_id"]
    client.close()
    psutil.Process(pid).kill()
    killed = time.monotonic()
    process.wait()
    return killed


def one_kill(folder: Path, policy: str, fsync: float, seconds: float) -> tuple[int, int, float]:
    """Return how many writes were acknowledged, how many of them are lost, and the oldest one's age at the kill."""
    port = free_port()
    process, client = _start(folder, port, policy, fsync)
    acknowledged: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.set(str(len(acknowledged)), "x")
        acknowledged.append(time.monotonic())
        time.sleep(EVERY)
    killed = _kill(process, client)
    process, client = _start(folder, port, policy, 0.0)
    there = int(client.dbsize())
    _kill(process, client)
    lost = acknowledged[there:]  # in the order in which they were written: what is missing is the end
    return len(acknowledged), len(lost), killed - lost[0] if lost else 0.0


def main(kills: int, fsync: float, seed: int) -> None:
    """Print a line for each ``appendfsync``."""
    for policy in POLICIES:
        dice = random.Random(seed)
        seen = []
        for _ in range(kills):
            with tempfile.TemporaryDirectory() as folder:
                seen.append(one_kill(Path(folder), policy, fsync, dice.uniform(2, 4)))
        print(  # noqa: T201
            f"{policy}: {kills} kills, {sum(count for count, _, _ in seen)} acknowledged, "
            f"{sum(lost for _, lost, _ in seen)} lost in {sum(lost > 0 for _, lost, _ in seen)} kills, "
            f"the oldest {max(age for _, _, age in seen) * 1000:.0f} ms before its kill",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--fsync", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    main(given.kills, given.fsync, given.seed)
