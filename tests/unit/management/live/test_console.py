"""The live console: filters, its bounds, and that nobody watching costs nothing."""

import asyncio
import json
from typing import Any

from sockudo_py.management.live.console import MOST_STREAMS, MOST_WAITING, ROWS_PER_SECOND, Console, Filter, Stream
from sockudo_py.tap import Tap


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    def __init__(self) -> None:
        self.clock = Clock()
        self.tap = Tap(self.clock)
        self.console = Console(self.tap, self.clock)
        self.made = 0

    def watch(self, wanted: Filter | None = None, after: int | None = None) -> Stream:
        stream = self.console.watch(wanted or Filter(), after)
        assert stream is not None
        return stream

    def tell(
        self, kind: str = "publish", app: str = "a", channel: str = "c", socket: str | None = None, **details: object
    ) -> None:
        def make() -> dict[str, object]:
            self.made += 1
            return details

        self.tap.tell(kind, app, socket, channel, None, make)


def rows(stream: Stream) -> tuple[list[dict[str, Any]], int]:
    async def take() -> tuple[list[dict[str, Any]], int]:
        shown, left_out = await stream.take(0.001)
        return [json.loads(one.text) for one in shown], left_out

    return asyncio.run(take())


def test_nobody_follows_the_tap_but_those_who_watch() -> None:
    stage = Stage()
    assert not stage.tap.on
    first, second = stage.watch(), stage.watch()
    assert stage.tap.on
    stage.console.leave(first)
    assert stage.tap.on
    stage.console.leave(second)
    stage.console.leave(second)
    assert not stage.tap.on


def test_a_row_is_made_once_for_all_who_watch_and_not_for_those_who_filter_it_out() -> None:
    stage = Stage()
    one, other, none = stage.watch(), stage.watch(), stage.watch(Filter(kinds=frozenset({"connect"})))
    stage.tell(event="e")
    assert stage.made == 1
    assert rows(one)[0] == rows(other)[0]
    assert rows(none) == ([], 0)


def test_filters_by_app_channel_socket_and_kind() -> None:
    stage = Stage()
    stream = stage.watch(
        Filter(apps=frozenset({"a"}), channel_prefix="private-", socket_id="1.1", kinds=frozenset({"subscribe"}))
    )
    stage.tell("subscribe", "a", "private-x", "1.1")
    stage.tell("subscribe", "b", "private-x", "1.1")
    stage.tell("subscribe", "a", "public-x", "1.1")
    stage.tell("subscribe", "a", "private-x", "1.2")
    stage.tell("publish", "a", "private-x", "1.1")
    assert [row["channel"] for row in rows(stream)[0]] == ["private-x"]


def test_past_the_rate_rows_are_left_out_and_counted_and_not_even_made() -> None:
    stage = Stage()
    stream = stage.watch()
    for _ in range(ROWS_PER_SECOND + 30):
        stage.tell()
    assert stage.made == ROWS_PER_SECOND
    shown, left_out = rows(stream)
    assert (len(shown), left_out) == (ROWS_PER_SECOND, 30)
    stage.clock.now += 1
    stage.tell()
    assert rows(stream) == ([{"at": 1_001_000, "kind": "publish", "app": "a", "channel": "c"}], 0)


def test_a_browser_that_does_not_read_loses_the_oldest_rows_and_is_told() -> None:
    stage = Stage()
    stream = stage.watch()
    for number in range(MOST_WAITING + 5):
        stage.tell(number=number)
        stage.clock.now += 1
    shown, left_out = rows(stream)
    assert (len(shown), left_out) == (MOST_WAITING, 5)
    assert shown[0]["number"] == 5


def test_who_comes_back_gets_what_came_meanwhile_while_others_watched() -> None:
    stage = Stage()
    stage.watch()
    stream = stage.watch()
    stage.tell(number=1)
    last = asyncio.run(stream.take(0.001))[0][-1].number
    stage.console.leave(stream)
    stage.tell(number=2)
    assert [row["number"] for row in rows(stage.watch(after=last))[0]] == [2]


def test_there_is_a_most_of_streams() -> None:
    stage = Stage()
    for _ in range(MOST_STREAMS):
        stage.watch()
    assert stage.console.watch(Filter()) is None
