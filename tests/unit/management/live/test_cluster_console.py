"""One console for several nodes, over boards that only remember."""

import asyncio
import json
from typing import Any

from sockudo_py.management.live.cluster import DEAD, LONGEST, ROWS_PER_SECOND, ClusterConsole
from sockudo_py.management.live.console import Console, Filter, Stream
from sockudo_py.relays.board import Message
from sockudo_py.tap import Tap
from tests.support.client import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Boards:
    """What boards have in common."""

    def __init__(self) -> None:
        self.notes: dict[str, bytes] = {}
        self.boards: list[FakeBoard] = []


class FakeBoard:
    def __init__(self, node_id: str, boards: Boards) -> None:
        self.node_id = node_id
        self._boards = boards
        self._followed: set[str] = set()
        self._on_message: Message | None = None
        boards.boards.append(self)

    def start(self, on_message: Message) -> None:
        self._on_message = on_message

    async def open(self) -> None: ...

    async def close(self) -> None:
        self.forget(self.node_id)

    def follow(self, topic: str) -> None:
        self._followed.add(topic)

    def leave(self, topic: str) -> None:
        self._followed.discard(topic)

    def tell(self, topic: str, payload: bytes) -> None:
        for board in self._boards.boards:
            if topic in board._followed and board._on_message is not None:
                board._on_message(topic, payload)

    def post(self, note: bytes) -> None:
        self._boards.notes[self.node_id] = note

    async def read(self) -> dict[str, bytes]:
        return dict(self._boards.notes)

    def forget(self, node_id: str) -> None:
        self._boards.notes.pop(node_id, None)


class Node:
    def __init__(self, name: str, boards: Boards, clock: Clock) -> None:
        self.clock = clock
        self.tap = Tap(clock)
        self.console = Console(self.tap, clock)
        self.board = FakeBoard(f"id-{name}", boards)
        self.cluster = ClusterConsole(
            self.board, self.tap, self.console, lambda: {"id": name, "connections": 1}, clock, clock
        )

    def tell(self, channel: str) -> None:
        self.tap.tell("publish", "app", None, channel, None, lambda: {"event": "e"})


async def rows(stream: Stream, count: int) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    left_out = 0
    async with asyncio.timeout(30):
        while len(found) < count:
            shown, more = await stream.take(1)
            found += [json.loads(one.text) for one in shown]
            left_out += more
    return found, left_out


async def test_a_console_shows_the_rows_of_all_nodes_while_it_is_watched() -> None:
    clock, boards = Clock(), Boards()
    first, second = Node("first", boards, clock), Node("second", boards, clock)
    await first.cluster.start()
    await second.cluster.start()
    assert not second.tap.on
    stream = first.console.watch(Filter(channel_prefix="wanted"))
    assert stream is not None
    await eventually(lambda: second.tap.on, "the second node to send rows")
    second.tell("other")
    second.tell("wanted-2")
    first.tell("wanted-1")
    found, _ = await rows(stream, 2)
    assert {(row["channel"], row.get("node")) for row in found} == {("wanted-1", None), ("wanted-2", "second")}
    first.console.leave(stream)
    clock.now += LONGEST + 1
    second.console._begun.set()  # what a beat would do in some seconds
    await eventually(lambda: not second.tap.on, "the second node to stop")
    await first.cluster.stop()
    await second.cluster.stop()


async def test_a_node_sends_a_bounded_number_of_rows_and_says_what_it_left_out() -> None:
    clock, boards = Clock(), Boards()
    first, second = Node("first", boards, clock), Node("second", boards, clock)
    await first.cluster.start()
    await second.cluster.start()
    stream = first.console.watch(Filter())
    assert stream is not None
    await eventually(lambda: second.tap.on, "the second node to send rows")
    for _ in range(ROWS_PER_SECOND + 25):
        second.tell("c")
    found, left_out = await rows(stream, ROWS_PER_SECOND)
    assert (len(found), left_out) == (ROWS_PER_SECOND, 25)
    await first.cluster.stop()
    await second.cluster.stop()


async def test_nodes_and_those_that_went_silent() -> None:
    clock, boards = Clock(), Boards()
    first, second = Node("first", boards, clock), Node("second", boards, clock)
    await first.cluster.start()
    await second.cluster.start()
    await eventually(lambda: len(boards.notes) == 2, "two notes")
    shown = await first.cluster.nodes()
    assert [(one["id"], one["here"], one["state"]) for one in shown] == [
        ("first", True, "up"),
        ("second", False, "up"),
    ]
    clock.now += LONGEST + 1
    boards.notes["id-first"] = json.dumps({"id": "first", "at": clock.now}).encode()
    assert [one["state"] for one in await first.cluster.nodes()] == ["up", "away"]
    clock.now += DEAD - LONGEST
    boards.notes["id-first"] = json.dumps({"id": "first", "at": clock.now}).encode()
    boards.notes["id-other"] = b"no JSON"
    assert [one["id"] for one in await first.cluster.nodes()] == ["first"]
    assert set(boards.notes) == {"id-first"}
    await first.cluster.stop()
    await second.cluster.stop()


async def test_a_node_whose_clock_is_wrong_is_seen_by_the_changes_of_its_note() -> None:
    clock, boards = Clock(), Boards()
    node = Node("first", boards, clock)
    await node.cluster.start()
    await eventually(lambda: len(boards.notes) == 1, "its note")

    def post(behind: float, ahead: float) -> None:
        boards.notes["id-behind"] = json.dumps({"id": "behind", "at": clock.now - behind}).encode()
        boards.notes["id-ahead"] = json.dumps({"id": "ahead", "at": clock.now + ahead}).encode()

    async def states() -> dict[str, str]:
        return {one["id"]: one["state"] for one in await node.cluster.nodes() if not one["here"]}

    post(3600, 3600)
    assert await states() == {"ahead": "up", "behind": "away"}  # as far as one look can tell
    clock.now += 5
    post(3600, 3600)
    assert await states() == {"ahead": "up", "behind": "up"}
    clock.now += LONGEST + 1
    assert await states() == {"ahead": "away", "behind": "away"}
    clock.now += DEAD
    assert await states() == {}
    await node.cluster.stop()


async def test_what_others_send_may_be_anything() -> None:
    clock, boards = Clock(), Boards()
    node = Node("first", boards, clock)
    await node.cluster.start()
    node.board.follow("rows")
    stream = node.console.watch(Filter())
    assert stream is not None
    for payload in (b"", b"[]", b'{"rows": 7}', b'{"rows": [1, null, {"kind": 7}], "left_out": "x"}', b"\xff"):
        node.board.tell("rows", payload)
        node.board.tell("watch", payload)
    found, _ = await rows(stream, 1)
    assert found == [{"kind": 7}]
    await node.cluster.stop()
