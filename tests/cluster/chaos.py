"""``python -m tests.cluster.chaos``: random steps and faults on nodes over one Redis; at rest everything must agree.

Nodes live in this process, each with its own connection; Redis is a real server that is stopped, killed, flushed and
rolled back. A run prints its seed. ``--seconds`` bounds it; ``--profile`` chooses the faults.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sockudo_py.adapters.base import Envelope, Joined, MemberCame, MemberWent, Publication
from sockudo_py.changes import ChannelOccupied, MemberAdded, MemberRemoved, Transition
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from tests.cluster.in_process import Site, at_rest
from tests.conformance.adapters.driven import APP, Driven, running
from tests.conformance.adapters.over_redis import until
from tests.support.redis_server import RedisServer

NODE_TIMEOUT = 1.0
VACATE = 0.3
CHANNELS = [f"c{number}" for number in range(6)] + [f"presence-{number}" for number in range(4)]
USERS = ["ann", "bob", "cid", "dan"]
LIMIT = 3
FAULTS: dict[str, tuple[str, ...]] = {
    "mild": ("cut", "scripts", "clients", "nothing"),
    "harsh": ("clients", "freeze", "freeze"),
    "nodes": ("kill", "clients", "sweep", "freeze"),
    "losses": ("flush", "restart", "clients", "kill"),
}


@dataclass(eq=False)
class Socket:
    """A client of a node: what it is on, and what it has asked for."""

    name: str
    user: str
    on: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


class Play:
    """One run."""

    def __init__(self, site: Site, seed: int, profile: str, log: Callable[[str], None]) -> None:
        self.site = site
        self.random = random.Random(seed)
        self.faults = FAULTS[profile]
        self.log = log
        self.sockets: dict[Driven, list[Socket]] = {}
        self.rosters: dict[Driven, dict[str, set[str]]] = defaultdict(dict)
        self.dead: list[Driven] = []
        self.number = 0
        self.problems: list[str] = []
        self.lossy = False  # Redis came back older than it was
        self.forgot = False  # Redis forgot members who are there: meanwhile a full channel looks as if it had room

    def enter(self, node: Driven) -> None:
        """A node is there."""
        self.sockets[node] = []
        node.heard.append(partial(self.hear, node))
        for _ in range(5):
            self.number += 1
            self.sockets[node].append(Socket(f"{self.number}.1", self.random.choice(USERS)))

    def hear(self, node: Driven, envelope: Envelope) -> None:
        """Follow what the clients of a node are shown."""
        if not isinstance(envelope, MemberCame | MemberWent):
            return
        seen = self.rosters[node].get(envelope.channel)
        if seen is None:
            return
        came = isinstance(envelope, MemberCame)
        if (envelope.user_id in seen) == came:
            self.problems.append(f"{envelope} is no news to the clients of a node")
        (seen.add if came else seen.discard)(envelope.user_id)

    def step(self) -> None:
        """Let some socket join or leave."""
        node = self.random.choice(list(self.sockets))
        socket = self.random.choice(self.sockets[node])
        channel = self.random.choice(CHANNELS)
        member = Member(socket.user) if channel.startswith("presence-") else None
        source = node.source(socket.name)
        if channel in socket.on:
            socket.on.discard(channel)
            self.out_of_sight(node, channel)
            node.adapter.leave(APP, channel, source, member, member is None, partial(self.left, node, socket, channel))
        elif channel not in socket.asked:
            socket.asked.add(channel)
            done = partial(self.joined, node, socket, channel)
            node.adapter.join(APP, channel, source, member, LIMIT, member is None, done)

    def joined(self, node: Driven, socket: Socket, channel: str, outcome: object) -> None:
        socket.asked.discard(channel)
        if not isinstance(outcome, Joined):
            return
        if outcome.roster is not None:
            seen = self.rosters[node].get(channel)
            now = set(outcome.roster)
            if seen is None:
                self.rosters[node][channel] = now
            else:
                if outcome.first_of_user:
                    seen.add(socket.user)
                if seen != now:
                    self.problems.append(f"{channel}: a joiner sees {now}, the others here {seen}")
        socket.on.add(channel)

    def left(self, node: Driven, socket: Socket, channel: str, outcome: object) -> None:
        seen = self.rosters[node].get(channel)
        if seen is not None and getattr(outcome, "last_of_user", False):
            seen.discard(socket.user)

    def out_of_sight(self, node: Driven, channel: str) -> None:
        if not any(channel in socket.on for socket in self.sockets[node]):
            self.rosters[node].pop(channel, None)

    async def fault(self, stack: AsyncExitStack) -> None:
        """Let something go wrong."""
        kind = self.random.choice(self.faults)
        site, server = self.site, self.site.server
        self.log(kind)
        node = self.random.choice(list(self.sockets))
        match kind:
            case "cut":
                site.cut(node)
                await asyncio.sleep(self.random.random() * 0.4)
                site.mend(node)
            case "scripts":
                server.cli("SCRIPT", "FLUSH")
            case "clients":
                server.cli("CLIENT", "KILL", "TYPE", "pubsub")
            case "freeze":
                await asyncio.sleep(self.random.random() * 0.002)
                server.freeze()
                await asyncio.sleep(self.random.uniform(0.5, 0.9))
                server.thaw()
            case "sweep":
                self.forgot = True
                server.cli("ZADD", site.key("nodes"), 1, site.partition(node).node_id)
            case "kill" if len(self.sockets) > 1:
                site.kill(node)
                del self.sockets[node]
                self.rosters.pop(node, None)
                self.dead.append(node)
                await asyncio.sleep(NODE_TIMEOUT * 2.5)
                await self.start(site.add(), stack)
            case "flush":
                self.forgot = True
                await self.calm()
                server.cli("FLUSHALL")
                await asyncio.sleep(NODE_TIMEOUT * 2.5)
            case "restart":
                self.lossy = self.forgot = True
                await self.calm()
                server.cli("SAVE")
                for _ in range(20):
                    self.step()
                await asyncio.sleep(self.random.random() * 0.2)
                server.restart()
                await asyncio.sleep(NODE_TIMEOUT * 2.5)

    async def start(self, node: Driven, stack: AsyncExitStack) -> None:
        """Start a node; another one in its place where this machine is too busy for the answers to its first calls."""
        try:
            await stack.enter_async_context(running(node))
        except Unavailable:
            self.site.kill(node)
            await self.start(self.site.add(), stack)
        else:
            self.enter(node)

    async def calm(self) -> None:
        """Wait until Redis holds nothing back: a second loss before that costs what the first one put off."""
        redis = self.site.redis()
        meta, doubt = self.site.key("meta"), self.site.key("doubt")
        await until(lambda: not redis.exists(doubt) and float(redis.hget(meta, "hold") or 0) < redis.time()[0] * 1000)

    async def run(self, seconds: float, stack: AsyncExitStack) -> None:
        """Play for so long, and then hold everything against each other."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(self.random.randrange(1, 40)):
                self.step()
                if self.random.random() < 0.2:
                    await asyncio.sleep(0)
            if self.random.random() < 0.3:
                await self.fault(stack)
            await asyncio.sleep(self.random.random() * 0.05)
        await self.site.settle()
        await asyncio.sleep(NODE_TIMEOUT * 2.5 + VACATE * 2)
        await at_rest(self.site)
        self.check()
        await self.last_messages()

    async def last_messages(self) -> None:
        """See that a message from each node comes once to each other node with subscribers, and to no other one."""
        wanted: dict[tuple[Driven, bytes], int] = {}
        gaps = self.gaps()
        for number, (sender, channel) in enumerate(itertools.product(self.sockets, CHANNELS)):
            payload = b'{"last":%d}' % number
            for node, sockets in self.sockets.items():
                there = node is not sender and any(channel in socket.on for socket in sockets)
                wanted[node, payload] = int(there)
            sender.adapter.publish(Publication(APP, channel, payload))
        for _ in range(2):  # the first one waits until each node has sent, the second until each has read
            await self.site.settle()
        if self.gaps() != gaps:
            return  # a pause of this machine has cost a connection, and that may cost messages
        for (node, payload), times in wanted.items():
            got = sum(isinstance(one, Publication) and one.payload == payload for one in node.delivered)
            if got != times:
                self.problems.append(f"a node got the message {payload.decode()} {got} times, and not {times} times")

    def gaps(self) -> int:
        """Return how often nodes have lost their connections so far."""
        return sum(self.site.partition(node).figures.gaps for node in self.sockets)

    def check(self) -> None:
        """Compare what is so with what the nodes and the receivers of transitions believe."""
        on: dict[str, int] = defaultdict(int)
        users: dict[str, set[str]] = defaultdict(set)
        for sockets in self.sockets.values():
            for socket in sockets:
                for channel in socket.on:
                    on[channel] += 1
                    if channel.startswith("presence-"):
                        users[channel].add(socket.user)
        redis = self.site.redis()
        totals = {name.split("\0")[1]: int(total) for name, total in redis.hgetall(self.site.key("totals")).items()}
        if totals != dict(on):
            self.problems.append(f"Redis counts {totals}, and there are {dict(on)}")
        if sorted(redis.zrange(self.site.key(f"names:{APP}"), 0, -1)) != sorted(totals):
            self.problems.append("the names are not those of the channels that are counted")
        for channel in CHANNELS:
            if not self.forgot and redis.hlen(self.site.key(f"r:{APP}\0{channel}")) > LIMIT:
                self.problems.append(f"{channel} has more members than it may have")
        for name in ("pending", "doubt", "dead", "pinfo"):
            if redis.exists(self.site.key(name)):
                self.problems.append(f"{name} is not empty")
        for node, rosters in ((node, self.rosters[node]) for node in self.sockets):
            for channel, seen in rosters.items():
                if seen != users[channel]:
                    self.problems.append(f"{channel}: clients of a node see {seen}, and there are {users[channel]}")
            for held in self.site.partition(node).state.channels.values():
                if held.own and held.tell and held.total != on[held.name]:
                    self.problems.append(f"{held.name}: a node counts {held.total}, and there are {on[held.name]}")
        self.check_ledger(on, users)

    def check_ledger(self, on: dict[str, int], users: dict[str, set[str]]) -> None:
        ledger: dict[tuple[str, str], list[Transition]] = defaultdict(list)
        seen: set[str | None] = set()
        for change in self.site.told():
            if change.id in seen:
                continue
            seen.add(change.id)
            user = change.user_id if isinstance(change, MemberAdded | MemberRemoved) else ""
            ledger[change.channel, user].append(change)
        for (channel, user), changes in ledger.items():
            begun = [isinstance(change, ChannelOccupied | MemberAdded) for change in changes]
            wanted = [number % 2 == 0 for number in range(len(begun))]
            here = bool(on[channel]) if not user else user in users[channel]
            if self.lossy:  # an end may be told once more when Redis has forgotten that it was
                begun = [one for number, one in enumerate(begun) if number == 0 or one or begun[number - 1]]
                wanted = [number % 2 == 0 for number in range(len(begun))]
            if begun != wanted or (bool(begun) and begun[-1] != here):
                names = " ".join(type(change).__name__ for change in changes)
                self.problems.append(f"{channel} {user}: told {names}; {'is' if here else 'is not'} there")
        told = {key for key, changes in ledger.items() if changes}
        owed = {(channel, "") for channel, count in on.items() if count}
        owed |= {(channel, user) for channel, there in users.items() for user in there}
        if owed - told:
            self.problems.append(f"never told: {sorted(owed - told)}")


async def play(folder: Path, seed: int, profile: str, seconds: float, log: Callable[[str], None]) -> list[str]:
    """Run once; return what was wrong."""
    server = RedisServer(folder / "redis")
    server.start()
    try:
        site = Site(server, 3, vacate_delay=VACATE, node_timeout=NODE_TIMEOUT, response_timeout=0.4)
        async with AsyncExitStack() as stack:
            made = Play(site, seed, profile, log)
            for node in list(site.nodes):
                await made.start(node, stack)
            await made.run(seconds, stack)
        return made.problems
    finally:
        server.kill()


def main() -> int:
    """Run until the time is over or something is wrong."""
    parser = argparse.ArgumentParser(prog="tests.cluster.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="in all (default 60)")
    parser.add_argument("--each", type=float, default=6.0, help="seconds of one run, its rest left aside (6)")
    parser.add_argument("--seed", type=int, default=None, help="of the first run; the next ones count up")
    parser.add_argument("--profile", choices=sorted(FAULTS), default=None, help="default: each in turn")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 30)
    end = time.monotonic() + arguments.seconds
    profiles = [arguments.profile] if arguments.profile else sorted(FAULTS)
    runs = 0
    while time.monotonic() < end or not runs:
        profile = profiles[runs % len(profiles)]
        happened: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            problems = asyncio.run(play(Path(folder), seed, profile, arguments.each, happened.append))
        print(f"seed {seed}, {profile}: {len(happened)} faults, {'ok' if not problems else 'WRONG'}", flush=True)
        if problems:
            print(" ".join(happened), *problems, sep="\n")
            return 1
        seed += 1
        runs += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
