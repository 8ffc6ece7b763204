"""The hub, the node and the local adapter against a model of plain sets and lists."""

import json
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from sockudo_py.hub import Cursor, Encoding, Hub
from sockudo_py.metrics import Metrics
from sockudo_py.ws.framing import text_frame
from tests.support.fake_loop import FakeLoop
from tests.support.sink import RecordingSink, in_a_list, make_app
from tests.unit.node.kit import VACATE_DELAY, Bench

T = TypeVar("T")

SOCKETS = st.integers(0, 6)
CHANNELS = st.sampled_from(["c", "d"])


class Outbox(RuleBasedStateMachine):
    """Each subscriber receives exactly what was published while it was subscribed, in order, but what excluded it.

    Slices, bytes per write and backlog are so small that every path of the outbox is taken.
    """

    encodings: Sequence[Encoding] = (text_frame,)  # of the sockets in turn

    def __init__(self) -> None:
        super().__init__()
        self.loop = FakeLoop()
        self.metrics = Metrics()
        self.hub = Hub(self.loop.call_soon, self.metrics, slice_size=2, flush_bytes=24, backlog_bytes=150)
        app = make_app()
        encodings = self.encodings
        self.sinks = [RecordingSink(app, f"1.{n}", encodings[n % len(encodings)]) for n in range(7)]
        for sink in self.sinks:
            self.hub.add("1", sink)
        # What each (socket, channel) must have received in the end, and what waits for a replay of it.
        self.expected: dict[tuple[int, str], list[str]] = defaultdict(list)
        self.held: dict[tuple[int, str], tuple[Cursor, list[str]]] = {}
        self.on: set[tuple[int, str]] = set()
        self.number = 0
        self.working = False

    def received(self, socket: int, channel: str) -> list[str]:
        texts = [payload.decode() for payload in self.sinks[socket].payloads]
        return [text for text in texts if text.startswith(channel)]

    def text(self, channel: str) -> str:
        self.number += 1
        return f"{channel}{self.number}"

    @initialize(number=st.sampled_from([0, 5, 7]))
    def begin_with_a_channel_larger_than_a_slice(self, number: int) -> None:
        for socket in range(number):
            self.join(socket, "c")

    @rule(socket=SOCKETS, channel=CHANNELS)
    def join(self, socket: int, channel: str) -> None:
        assert self.hub.join("1", channel, self.sinks[socket]) == ((socket, channel) not in self.on)
        self.on.add((socket, channel))

    @rule(socket=SOCKETS, channel=CHANNELS)
    def join_with_replay(self, socket: int, channel: str) -> None:
        if self.hub.join("1", channel, self.sinks[socket]):
            share = self.hub.hold("1", channel, self.sinks[socket])
            assert share is not None
            self.on.add((socket, channel))
            self.held[socket, channel] = (share, [])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        socket, channel = data.draw(st.sampled_from(sorted(self.held)))
        share, gathered = self.held.pop((socket, channel))
        replayed = self.text(channel)
        self.hub.release("1", channel, self.sinks[socket], share, replayed.encode())
        self.expected[socket, channel] += [replayed, *gathered]
        assert self.received(socket, channel) == self.expected[socket, channel]

    @rule(socket=SOCKETS, channel=CHANNELS, how=st.sampled_from(["leave", "vanish", "catch up"]))
    def interrupt(self, socket: int, channel: str, how: str) -> None:
        """Unsubscribe, lose the connection (then nothing is owed any more), or be about to be closed."""
        key = (socket, channel)
        if how == "vanish":
            self.hub.drop("1", channel, self.sinks[socket])
            self.expected[key] = self.received(socket, channel)
        elif how == "leave":
            assert self.hub.leave("1", channel, self.sinks[socket]) == (key in self.on)
        else:
            self.hub.catch_up("1", [channel], self.sinks[socket])
        if how != "catch up":
            self.held.pop(key, None)
            self.on.discard(key)
        assert self.received(socket, channel) == self.expected[key]

    @rule(channel=CHANNELS, exclude=st.none() | SOCKETS, padding=st.integers(0, 30), turns=st.integers(0, 2))
    def publish(self, channel: str, exclude: int | None, padding: int, turns: int) -> None:
        """Publish and let some of it be flushed, so that what comes next often comes between two slices."""
        text = self.text(channel) + "." * padding
        excluded = None if exclude is None else self.sinks[exclude]
        self.hub.publish("1", channel, text.encode(), excluded)
        for socket, name in self.on:
            if name == channel and socket != exclude:
                if (socket, name) in self.held:
                    self.held[socket, name][1].append(text)
                else:
                    self.expected[socket, name].append(text)
        for _ in range(0 if self.working else turns):
            self.loop.turn()

    @rule(alone=st.booleans())
    def begin_or_end_work(self, alone: bool) -> None:
        """Let what follows happen while a client's bytes are worked on, in one turn of the loop."""
        self.working = not self.working
        if self.working:
            self.hub.begin_work(alone=alone)
        else:
            self.hub.end_work()

    @precondition(lambda self: not self.working)
    @rule(turns=st.integers(1, 12))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.turn()
        if not self.loop.soon:
            self.everything_due_was_received()

    def everything_due_was_received(self) -> None:
        for key in self.expected:
            assert self.received(*key) == self.expected[key]
        assert self.hub.backlog == 0

    @invariant()
    def nothing_but_what_is_due_was_received_and_in_order(self) -> None:
        for key in self.on | set(self.expected):
            received = self.received(*key)
            assert received == self.expected[key][: len(received)]

    @invariant()
    def the_hub_knows_who_is_on_what(self) -> None:
        for channel in ("c", "d"):
            there = {self.sinks.index(sink) for sink in self.hub.subscribers("1", channel)}  # type: ignore[arg-type]
            assert there == {socket for socket, name in self.on if name == channel}
        counters = self.metrics.app("1")
        assert counters.subscriptions == len(self.on)
        assert counters.channels == len({name for _, name in self.on})

    def teardown(self) -> None:
        self.hub.end_work()
        self.loop.settle()
        self.everything_due_was_received()


class OutboxOfTwoEncodings(Outbox):
    """The same holds where every other client has another transport."""

    encodings = (in_a_list, text_frame)


def answer_of(question: Coroutine[Any, Any, T]) -> T:
    """Return the answer of a coroutine that doesn't wait."""
    try:
        question.send(None)
    except StopIteration as stopped:
        return stopped.value  # type: ignore[no-any-return]
    raise AssertionError("it waited")


USERS = st.sampled_from(["ann", "bob", "cid"])
NAMES = st.sampled_from(["c", "presence-c"])
NUMBERS = st.integers(0, 3)
ANSWERS = st.sampled_from([9, 0, 1, 2])


Transition = ChannelOccupied | ChannelVacated | MemberAdded | MemberRemoved


def step(change: Transition) -> tuple[tuple[str, str | None], bool]:
    """Return what the change is about, and whether that is there now."""
    user_id = change.user_id if isinstance(change, MemberAdded | MemberRemoved) else None
    return (change.channel, user_id), isinstance(change, ChannelOccupied | MemberAdded)


class Occupancy(RuleBasedStateMachine):
    """Node, hub and local adapter agree with a set of (client, channel, user), however late the adapter answers."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(slow_adapter=True)
        self.clients: list[RecordingSink | None] = [None] * 4
        self.wanted: dict[int, dict[str, str | None]] = {number: {} for number in range(4)}
        # What each presence subscriber sees of the members, kept from the messages that it receives.
        self.seen: dict[RecordingSink, dict[str, set[str]]] = {}

    @rule(number=NUMBERS, channel=NAMES, user=USERS, answers=ANSWERS)
    def toggle(self, number: int, channel: str, user: str, answers: int) -> None:
        """Subscribe, connecting first if need be, or unsubscribe; then let the adapter answer some questions."""
        client = self.clients[number]
        if client is None:
            self.clients[number] = client = self.bench.client()
            self.seen[client] = {}
        if channel in self.wanted[number]:
            self.bench.loop.settle()
            self.read()
            del self.wanted[number][channel]
            self.seen[client].pop(channel, None)
            self.bench.unsubscribe(client, channel)
        else:
            user_id = user if channel.startswith("presence-") else None
            self.wanted[number][channel] = user_id
            self.bench.subscribe(client, channel, user_id)
        self.bench.adapter.answer(answers)

    @rule(number=NUMBERS, answers=ANSWERS)
    def disconnect(self, number: int, answers: int) -> None:
        client = self.clients[number]
        if client is not None:
            self.read()
            self.bench.node.disconnect(client)
            self.clients[number] = None
            self.wanted[number] = {}
            del self.seen[client]
            self.bench.adapter.answer(answers)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.5, VACATE_DELAY]), answers=ANSWERS)
    def pass_time(self, seconds: float, answers: int) -> None:
        self.bench.adapter.answer(answers)
        self.bench.loop.turn()
        self.bench.loop.advance(seconds)

    def read(self) -> None:
        """Take in what the clients received, as pusher-js does."""
        for client, channels in self.seen.items():
            for message in client.messages:
                channel = message["channel"]
                data = json.loads(message["data"])
                match message["event"]:
                    case "pusher_internal:subscription_succeeded":
                        channels[channel] = set(data.get("presence", {}).get("ids", []))
                    case "pusher_internal:member_added":
                        assert data["user_id"] not in channels[channel]
                        channels[channel].add(data["user_id"])
                    case "pusher_internal:member_removed":
                        channels[channel].remove(data["user_id"])
            client.writes.clear()

    @rule()
    def everything_agrees_when_all_is_answered(self) -> None:
        bench = self.bench
        bench.adapter.answer()
        bench.loop.settle()
        self.read()
        subscriptions = [
            (channel, user_id) for wanted in self.wanted.values() for channel, user_id in sorted(wanted.items())
        ]
        rosters = {channel: {user for name, user in subscriptions if name == channel} for channel, _ in subscriptions}
        counts = {channel: [name for name, _ in subscriptions].count(channel) for channel in rosters}
        assert answer_of(bench.node.channels(bench.app, "")) == {
            channel: ChannelStats(count, len(rosters[channel]) if channel.startswith("presence-") else None)
            for channel, count in counts.items()
        }
        for channel in rosters:
            if channel.startswith("presence-"):
                assert set(answer_of(bench.node.members(bench.app, channel))) == rosters[channel]
        for number, client in enumerate(self.clients):
            if client is not None:
                assert dict(client.session.subscriptions()).keys() == self.wanted[number].keys()
                for channel in self.wanted[number]:
                    expected = rosters[channel] if channel.startswith("presence-") else set()
                    assert self.seen[client][channel] == expected
        counters = bench.metrics.app("1")
        assert counters.subscriptions == len(subscriptions)
        assert counters.channels == len(rosters)
        assert counters.connections == bench.node.connections() == len(self.seen)

    @invariant()
    def transitions_alternate(self) -> None:
        state: dict[tuple[str, str | None], bool] = defaultdict(bool)
        for change in self.bench.changes:
            if isinstance(change, Transition):
                key, now = step(change)
                assert state[key] is not now, change
                state[key] = now

    def teardown(self) -> None:
        self.everything_agrees_when_all_is_answered()
        self.bench.loop.advance(VACATE_DELAY)
        self.bench.adapter.answer()
        last = dict(step(change) for change in self.bench.changes if isinstance(change, Transition))
        wanted = [item for channels in self.wanted.values() for item in channels.items()]
        expected = {(channel, None) for channel, _ in wanted} | {item for item in wanted if item[1] is not None}
        assert {key for key, is_there in last.items() if is_there} == expected


TestOutbox = Outbox.TestCase
TestOutbox.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestOutboxOfTwoEncodings = OutboxOfTwoEncodings.TestCase
TestOutboxOfTwoEncodings.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestOccupancy = Occupancy.TestCase
TestOccupancy.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
