"""With a ledger the same events go to the same endpoints as without one; only their ids differ, and what is noted."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.changes import (
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    MemberAdded,
    MemberRemoved,
)
from sockudo_py.endpoints import ChannelFilter, Endpoint
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry, Route
from sockudo_py.webhooks.intake.event_builder import EventBuilder
from sockudo_py.webhooks.intake.ledger import Ledger
from sockudo_py.webhooks.intake.occupancies import Occupancies
from sockudo_py.webhooks.intake.receipts import Receipts
from sockudo_py.webhooks.metrics import WebhookMetrics
from tests.unit.webhooks.make import NOW, NOW_MS, endpoint

ENDPOINTS = [
    endpoint("wh_all"),
    endpoint("wh_begins", event_types=frozenset({"channel_occupied", "member_added"})),
    endpoint("wh_ends", event_types=frozenset({"channel_vacated", "member_removed"})),
    endpoint("wh_presence", filter=ChannelFilter(channel_type="presence")),
    endpoint("wh_none", filter=ChannelFilter(channel_prefix="other-")),
]
CHANNELS = st.sampled_from(["a", "presence-b", "private-encrypted-c"])
SOURCE = Source("app-1", "1.2")


class Desk:
    """An intake, with a ledger or without one, and what it has put."""

    def __init__(self, endpoints: list[Endpoint], *, ledger: bool) -> None:
        self.registry = EndpointRegistry(ledger=ledger)
        self.registry.replace("app-1", "config", endpoints)
        self.metrics = WebhookMetrics(Metrics())
        self.ledger = Ledger(NOW_MS)
        self.lines: dict[str, list[Append]] = defaultdict(list)
        routes = self.registry.routes
        occupancies = Occupancies(self.ledger, routes, put=self.put, clock=lambda: NOW)
        self.intake = EventBuilder(
            routes,
            self.metrics,
            put=self.put,
            receipts=Receipts(),
            wake=lambda urgent: None,
            occupancies=occupancies if ledger else None,
            clock=lambda: NOW,
        )

    def put(self, endpoint: str, events: list[Append]) -> None:
        self.lines[endpoint] += events

    def tell(self, *changes: Change) -> None:
        for change in changes:
            self.intake.add(change)
        self.intake.settle()

    def counted(self) -> tuple[object, object]:
        return dict(self.metrics.events.values), dict(self.metrics.filtered.values)


@given(
    st.lists(
        st.one_of(
            st.builds(ChannelOccupied, st.just("app-1"), CHANNELS, st.just(SOURCE)),
            st.builds(ChannelVacated, st.just("app-1"), CHANNELS, st.just(SOURCE)),
            st.builds(
                MemberAdded, st.just("app-1"), CHANNELS, st.text(), st.just("1.2"), st.just("{}"), st.just(SOURCE)
            ),
            st.builds(MemberRemoved, st.just("app-1"), CHANNELS, st.text(), st.just("1.2")),
            st.builds(ClientEventSent, st.just("app-1"), CHANNELS, st.just("client-e"), st.just("d"), st.just("1.2")),
        ),
        max_size=20,
    )
)
def test_every_endpoint_gets_what_it_gets_without_a_ledger(changes: list[Change]) -> None:
    with_ledger, without = Desk(ENDPOINTS, ledger=True), Desk(ENDPOINTS, ledger=False)
    for desk in (with_ledger, without):
        desk.tell(*changes)
    told = [
        {uid: [event._replace(id="") for event in events] for uid, events in desk.lines.items()}
        for desk in (with_ledger, without)
    ]
    assert told[0] == told[1]
    assert with_ledger.counted() == without.counted()


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=20))
def test_ids_are_unique(channels: list[str]) -> None:
    desk = Desk(ENDPOINTS, ledger=True)
    there: set[str] = set()
    for channel in channels:
        desk.tell((ChannelVacated if channel in there else ChannelOccupied)("app-1", channel))
        there ^= {channel}
    ids = [event.id for events in desk.lines.values() for event in events]
    assert len(ids) == len(set(ids))


def test_whoever_wants_one_of_two_opposite_events_has_a_route_for_the_other_that_tells_nothing() -> None:
    desk = Desk([endpoint("wh_ends", event_types=frozenset({"channel_vacated"}))], ledger=True)
    assert [(route.endpoint, route.told) for route in desk.registry.routes["app-1"][ChannelOccupied].routes] == [
        ("wh_ends", False)
    ]
    desk.tell(ChannelOccupied("app-1", "a"))
    assert (desk.lines, desk.counted(), list(desk.ledger)) == ({}, ({}, {}), [("app-1", "a", None)])


def test_without_a_ledger_nobody_has_a_route_for_what_it_does_not_want() -> None:
    desk = Desk([endpoint("wh_ends", event_types=frozenset({"channel_vacated"}))], ledger=False)
    assert list(desk.registry.routes["app-1"]) == [ChannelVacated]


def test_a_route_tells_unless_it_says_otherwise() -> None:
    assert Route("wh_1", None).told


def test_an_end_of_what_was_not_noted_is_told_all_the_same() -> None:
    desk = Desk([endpoint("wh_1")], ledger=True)
    desk.tell(ChannelVacated("app-1", "a"))
    (event,) = desk.lines["wh_1"]
    assert not event.id.startswith("p_")
    assert desk.ledger.entries([event]) == []
