"""Changes that come together are worked on together, and nothing of it shows in the events."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.changes import (
    CacheMissed,
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    ConnectionEstablished,
    ConnectionTerminated,
    MemberAdded,
    MemberRemoved,
    SubscriptionCountChanged,
)
from sockudo_py.endpoints import ChannelFilter, Endpoint
from sockudo_py.metrics import Metrics
from sockudo_py.protocol import codec
from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.events import EVENT_NAMES, TextWriter, encode, event_of, shares
from sockudo_py.webhooks.intake.event_builder import LONGEST_RUN, EventBuilder
from sockudo_py.webhooks.intake.receipts import Receipts
from sockudo_py.webhooks.metrics import WebhookMetrics
from tests.unit.webhooks.make import NOW, NOW_MS, endpoint

EVERYTHING = frozenset({"*", "connection_established"})


class Desk:
    """An intake whose clock stands still unless it is set, and what it has put."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.registry = EndpointRegistry()
        for app_id in {one.app_id for one in endpoints}:
            self.registry.replace(app_id, "config", [one for one in endpoints if one.app_id == app_id])
        self.now = NOW
        self.wakes = 0
        self.puts: list[tuple[str, list[Append]]] = []
        self.metrics = WebhookMetrics(Metrics())
        self.intake = EventBuilder(
            self.registry.routes,
            self.metrics,
            put=lambda uid, events: self.puts.append((uid, events)),
            receipts=Receipts(),
            wake=self.wake,
            clock=lambda: self.now,
        )

    def wake(self, urgent: bool) -> None:
        self.wakes += 1

    def add(self, *changes: Change) -> None:
        for change in changes:
            self.intake.add(change)

    def channels(self, uid: str) -> list[str]:
        """Return the channels of what one endpoint got, in order."""
        return [orjson.loads(event.event)["channel"] for one, events in self.puts if one == uid for event in events]

    def sizes(self) -> list[int]:
        return [len(events) for _, events in self.puts]


def test_changes_of_one_kind_and_millisecond_are_put_together_when_they_are_settled() -> None:
    desk = Desk(endpoint())
    desk.add(ChannelOccupied("app-1", "a"), ChannelOccupied("app-1", "b"))
    assert (desk.puts, desk.wakes) == ([], 1)
    desk.intake.settle()
    assert (desk.sizes(), desk.channels("wh_1")) == ([2], ["a", "b"])
    desk.intake.settle()
    assert desk.sizes() == [2]


@pytest.mark.parametrize("names", [("sport", "news-1", "news-2"), ("news-1",)], ids=["run", "alone"])
def test_each_event_names_who_caused_it(names: tuple[str, ...]) -> None:
    sources = {name: Source("app-1", name) for name in names}
    desk = Desk(endpoint(), endpoint("wh_news", filter=ChannelFilter(channel_prefix="news")))
    desk.add(*(ChannelOccupied("app-1", name, source) for name, source in sources.items()))
    desk.intake.settle()
    events = [event for _, events in desk.puts for event in events]
    assert len(events) > len(names)
    assert all(event.source is sources[orjson.loads(event.event)["channel"]] for event in events)


def test_each_event_has_the_millisecond_in_which_it_happened() -> None:
    desk = Desk(endpoint())
    desk.add(ChannelOccupied("app-1", "a"))
    desk.now += 0.0015
    desk.add(ChannelOccupied("app-1", "b"))
    desk.now -= 1.0  # somebody sets the clock back
    desk.add(ChannelOccupied("app-1", "c"))
    desk.intake.settle()
    events = [event for _, group in desk.puts for event in group]
    assert [event.created_ms for event in events] == [NOW_MS, NOW_MS + 1, NOW_MS - 999]
    assert [orjson.loads(event.event)["time_ms"] for event in events] == [NOW_MS, NOW_MS + 1, NOW_MS - 999]


def test_changes_of_other_kinds_and_apps_keep_their_order() -> None:
    desk = Desk(endpoint(), endpoint("wh_2", app_id="app-2"))
    desk.add(
        ChannelOccupied("app-1", "a"),
        ChannelVacated("app-1", "b"),
        ChannelOccupied("app-2", "c"),
        ChannelOccupied("app-1", "d"),
    )
    desk.intake.settle()
    assert desk.channels("wh_1") == ["a", "b", "d"]
    assert desk.channels("wh_2") == ["c"]


def test_a_run_has_a_longest_length() -> None:
    desk = Desk(endpoint())
    for number in range(LONGEST_RUN + 1):
        desk.add(ChannelOccupied("app-1", f"c-{number}"))
    assert desk.sizes() == [LONGEST_RUN]
    desk.intake.settle()
    assert desk.sizes() == [LONGEST_RUN, 1]


def test_each_endpoint_gets_what_passes_its_filter_and_the_rest_is_counted() -> None:
    desk = Desk(
        endpoint(),
        endpoint("wh_news", filter=ChannelFilter(channel_prefix="news")),
        endpoint("wh_none", filter=ChannelFilter(channel_prefix="none")),
    )
    desk.add(*(ChannelOccupied("app-1", name) for name in ("news-1", "sport", "news-2", "sport")))
    desk.intake.settle()
    assert desk.channels("wh_1") == ["news-1", "sport", "news-2", "sport"]
    assert desk.channels("wh_news") == ["news-1", "news-2"]
    assert desk.channels("wh_none") == []
    assert desk.metrics.filtered.values == {(): 6}
    assert desk.metrics.events.values == {("app-1", "channel_occupied"): 4}


@pytest.mark.parametrize("names", [("sport", "news-1", "news-2"), ("news-1",)], ids=["run", "alone"])
def test_endpoints_share_the_bytes_of_an_event_whatever_their_filters(names: tuple[str, ...]) -> None:
    filters = [ChannelFilter(), ChannelFilter(channel_prefix="n"), ChannelFilter(channel_suffix="1")]
    for wanted in (filters, filters[1:]):
        desk = Desk(*(endpoint(f"wh_{number}", filter=one) for number, one in enumerate(wanted)))
        desk.add(*(ChannelOccupied("app-1", name) for name in names))
        desk.intake.settle()
        texts = [event.event for _, events in desk.puts for event in events if b"news-1" in event.event]
        assert len(texts) == len(wanted)
        assert all(text is texts[0] for text in texts)


def test_only_events_that_must_be_alone_are_marked() -> None:
    desk = Desk(endpoint(event_types=EVERYTHING))
    desk.add(*(ChannelOccupied("app-1", name) for name in ("a", "private-encrypted-b", "c")))
    desk.add(ConnectionEstablished("app-1", "1.2"))
    desk.intake.settle()
    assert [event.solo for _, events in desk.puts for event in events] == [False, True, False, True]


def test_no_two_events_have_one_id() -> None:
    desk = Desk(endpoint(), endpoint("wh_2"))
    for number in range(2 * LONGEST_RUN):
        desk.add(ChannelOccupied("app-1", f"c-{number}"))
    desk.intake.settle()
    ids = [event.id for _, events in desk.puts for event in events]
    assert len(ids) == 4 * LONGEST_RUN
    assert len(set(ids)) == len(ids)


_TEXT = st.text(max_size=8) | st.sampled_from(['","channel":"x"}', '"', "\\", "é✓", ""])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["private-a", 'private-"b', "presence-ü"]),
            _TEXT,
            _TEXT,
            st.sampled_from(["1.2", "3.4"]),
            st.sampled_from([None, "10", 'a"b']),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_the_text_of_a_client_event_does_not_tell_whether_its_message_was_kept(
    sent: list[tuple[str, str, str, str, str | None, bool]],
) -> None:
    changes = [
        ClientEventSent(
            "app-1",
            channel,
            event,
            data,
            socket_id,
            user_id,
            codec.client_event(channel, event, data, user_id) if kept else b"",
        )
        for channel, event, data, socket_id, user_id, kept in sent
    ]
    writer = TextWriter()
    assert [writer.text(change, NOW_MS) for change in changes] == [
        encode(event_of(change, NOW_MS)) for change in changes
    ]


_CHANNELS = st.sampled_from(["news", "sport", "presence-a", "private-encrypted-e", 'private-"b'])
_APPS = st.sampled_from(["app-1", "app-2"])
_SOCKETS = st.sampled_from(["1.2", "3.4"])


def _client_event(app_id: str, channel: str, data: str, socket_id: str, user_id: str | None) -> ClientEventSent:
    payload = codec.client_event(channel, "client-x", data, user_id)
    return ClientEventSent(app_id, channel, "client-x", data, socket_id, user_id, payload)


_CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(ChannelOccupied, _APPS, _CHANNELS),
    st.builds(ChannelVacated, _APPS, _CHANNELS),
    st.builds(CacheMissed, _APPS, _CHANNELS),
    st.builds(SubscriptionCountChanged, _APPS, _CHANNELS, st.integers(0, 9)),
    st.builds(MemberAdded, _APPS, _CHANNELS, _TEXT, _SOCKETS),
    st.builds(MemberRemoved, _APPS, _CHANNELS, _TEXT, _SOCKETS),
    st.builds(ConnectionEstablished, _APPS, _SOCKETS),
    st.builds(ConnectionTerminated, _APPS, _SOCKETS),
    st.builds(_client_event, _APPS, _CHANNELS, _TEXT, _SOCKETS, st.none() | _TEXT),
)
_ENDPOINTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        event_types=st.sampled_from([EVERYTHING, frozenset({"*"}), frozenset({"client_event", "channel_vacated"})]),
        filter=st.sampled_from(
            [
                ChannelFilter(),
                ChannelFilter(channel_prefix="p"),
                ChannelFilter(channel_suffix="e"),
                ChannelFilter(channel_pattern="s$"),
            ]
        ),
        enabled=st.booleans(),
    ),
    max_size=3,
)
_Step = tuple[Change, int] | tuple[str, list[dict[str, Any]]] | float | None
_STEPS: st.SearchStrategy[list[_Step]] = st.lists(
    st.tuples(_CHANGES, st.integers(1, 3))
    | st.tuples(_APPS, _ENDPOINTS)
    | st.sampled_from([0.0, 2**-12, 2**-10, -0.5])  # seconds that a float has exactly, so that no sum rounds
    | st.none(),
    max_size=12,
)


@given(_STEPS)
def test_changes_worked_on_together_make_the_events_that_each_makes_alone(steps: list[_Step]) -> None:
    desk = Desk()
    expected: list[tuple[str, bytes, int, bool]] = []
    happened = filtered = 0
    for step in steps:
        match step:
            case None:
                desk.intake.settle()
            case float():
                desk.now += step
            case str() as app_id, list() as endpoints:
                named = [endpoint(f"{app_id}-{at}", app_id=app_id, **one) for at, one in enumerate(endpoints)]
                desk.registry.replace(app_id, "config", named)
            case (change, int() as times):
                name, time_ms = EVENT_NAMES[type(change)], int(desk.now * 1000)
                audience = desk.registry.routes.get(change.app_id, {}).get(type(change))
                routes = () if audience is None else audience.routes
                channel = getattr(change, "channel", None)
                hear = [one for one in routes if one.test is None or channel is None or one.test(channel)]
                text = encode(event_of(change, time_ms))
                expected += [(one.endpoint, text, time_ms, not shares(name, channel)) for one in hear] * times
                happened += times * bool(routes)
                filtered += times * (len(routes) - len(hear))
                desk.add(*[change] * times)
    desk.intake.settle()
    events = [event for _, group in desk.puts for event in group]
    for uid in {uid for uid, _, _, _ in expected} | {event.endpoint for event in events}:
        got = [(one.endpoint, one.event, one.created_ms, one.solo) for one in events if one.endpoint == uid]
        assert got == [one for one in expected if one[0] == uid]
    assert all(group and {event.endpoint for event in group} == {uid} for uid, group in desk.puts)
    assert len({event.id for event in events}) == len(events)
    assert sum(desk.metrics.events.values.values()) == happened
    assert sum(desk.metrics.filtered.values.values()) == filtered
