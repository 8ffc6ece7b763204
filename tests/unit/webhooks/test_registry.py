import pytest

from sockudo_py.changes import ChannelOccupied, ChannelVacated, ConnectionEstablished, MemberAdded
from sockudo_py.endpoints import ChannelFilter, Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from tests.unit.webhooks.make import endpoint


def test_an_endpoint_is_found_by_uid_and_by_app() -> None:
    registry = EndpointRegistry()
    first, second = endpoint("wh_1"), endpoint("wh_2")
    registry.replace("app-1", "config", [first, second])
    assert registry.by_uid("wh_2") is second
    assert registry.by_app("app-1") == (first, second)
    assert set(registry.all()) == {first, second}
    assert registry.by_uid("wh_3") is None
    assert registry.by_app("app-2") == ()


def test_two_endpoints_with_the_same_url_are_two_endpoints() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1"), endpoint("wh_2")])
    assert [route.endpoint for route in registry.routes["app-1"][ChannelOccupied].routes] == ["wh_1", "wh_2"]


def test_a_kind_of_change_that_nobody_lists_is_not_in_the_routes() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint(event_types=frozenset({"channel_occupied", "custom.event"}))])
    assert set(registry.routes["app-1"]) == {ChannelOccupied}


def test_an_app_without_an_interested_endpoint_is_not_in_the_routes() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint(event_types=frozenset())])
    assert registry.routes == {}
    assert len(registry.by_app("app-1")) == 1


def test_star_leaves_the_connection_events_out() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint()])
    assert ConnectionEstablished not in registry.routes["app-1"]
    assert MemberAdded in registry.routes["app-1"]


def test_a_disabled_endpoint_gets_no_new_events_but_stays_known() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint(enabled=False)])
    assert registry.routes == {}
    assert registry.by_uid("wh_1") is not None


def test_a_filter_is_compiled_into_the_route() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint(filter=ChannelFilter(channel_prefix="chat-"))])
    [route] = registry.routes["app-1"][ChannelVacated].routes
    assert route.test is not None
    assert route.test("chat-1")
    assert not route.test("news")


def test_replacing_tells_what_changed() -> None:
    registry = EndpointRegistry()
    told: list[tuple[Endpoint | None, Endpoint | None]] = []
    first, second, third = endpoint("wh_1"), endpoint("wh_2"), endpoint("wh_3")
    registry.replace("app-1", "config", [first, second])
    registry.subscribe(lambda old, new: told.append((old, new)))
    newer = endpoint("wh_2", url="http://elsewhere.example/")
    registry.replace("app-1", "config", [newer, third])
    assert told == [(second, newer), (None, third), (first, None)]
    assert registry.by_uid("wh_1") is None


def test_no_endpoints_means_the_app_is_gone() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint()])
    registry.replace("app-1", "config", [])
    assert registry.routes == {}
    assert list(registry.all()) == []


def test_a_mistake_changes_nothing_and_names_everything() -> None:
    registry = EndpointRegistry()
    good = endpoint("wh_1")
    registry.replace("app-1", "config", [good])
    with pytest.raises(ConfigError) as caught:
        registry.replace("app-1", "config", [endpoint("wh_2", url="ftp://x/"), endpoint("wh_3", url=None)])
    assert len(caught.value.problems) == 2
    assert registry.by_app("app-1") == (good,)


def test_a_uid_belongs_to_one_endpoint() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1")])
    with pytest.raises(ConfigError, match="used twice"):
        registry.replace("app-2", "config", [endpoint("wh_1", app_id="app-2")])
    with pytest.raises(ConfigError, match="used twice"):
        registry.replace("app-1", "config", [endpoint("wh_2"), endpoint("wh_2")])


def test_an_endpoint_belongs_to_its_app() -> None:
    with pytest.raises(ConfigError, match="belongs to app app-1"):
        EndpointRegistry().replace("app-2", "config", [endpoint("wh_1")])


def enabled(registry: EndpointRegistry) -> dict[str, bool]:
    return {one.uid: one.enabled for one in registry.all()}


def test_disabling_tells_of_one_endpoint_and_takes_its_routes() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1"), endpoint("wh_2")])
    told: list[tuple[Endpoint | None, Endpoint | None]] = []
    registry.subscribe(lambda old, new: told.append((old, new)))
    assert registry.disable("wh_1")
    assert not registry.disable("wh_1")
    assert not registry.disable("wh_9")
    [(old, new)] = told
    assert old is not None
    assert new is not None
    assert (old.enabled, new.enabled, new.uid) == (True, False, "wh_1")
    assert {audience.everybody for audience in registry.routes["app-1"].values()} == {("wh_2",)}


def test_a_source_leaves_the_endpoints_of_another_alone() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1"), endpoint("wh_2")])
    made = endpoint("wh_api")
    registry.replace("app-1", "api", [made])
    told: list[tuple[Endpoint | None, Endpoint | None]] = []
    registry.subscribe(lambda old, new: told.append((old, new)))
    registry.replace("app-1", "config", [endpoint("wh_2")])
    assert {one.uid for one in registry.by_app("app-1")} == {"wh_2", "wh_api"}
    assert not [new for _, new in told if new is made]
    registry.replace("app-1", "config", [])
    assert registry.by_app("app-1") == (made,)
    registry.replace("app-1", "api", [])
    assert registry.by_app("app-1") == ()


def test_two_sources_can_not_have_the_same_uid() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1")])
    with pytest.raises(ConfigError, match="used twice"):
        registry.replace("app-1", "api", [endpoint("wh_1")])


def test_an_app_that_is_gone_leaves_nothing_of_any_source() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1")])
    registry.replace("app-1", "api", [endpoint("wh_2")])
    registry.disable("wh_2")
    registry.remove("app-1")
    assert (list(registry.all()), registry.routes) == ([], {})
    registry.replace("app-1", "api", [endpoint("wh_2")])
    assert enabled(registry) == {"wh_2": True}


@pytest.mark.parametrize("source", ["config", "api"])
def test_a_disabled_endpoint_stays_so_whatever_source_is_set_again(source: str) -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint("wh_1")])
    registry.replace("app-1", "api", [endpoint("wh_2")])
    registry.disable("wh_1")
    registry.disable("wh_2")
    registry.replace("app-1", source, [endpoint("wh_1" if source == "config" else "wh_2", name="renamed")])
    assert enabled(registry) == {"wh_1": False, "wh_2": False}


def test_an_endpoint_can_be_enabled_again_and_its_source_has_the_last_word_then() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint()])
    assert not registry.enable("wh_1")
    registry.disable("wh_1")
    assert registry.enable("wh_1")
    assert enabled(registry) == {"wh_1": True}
    registry.replace("app-1", "config", [endpoint(enabled=False)])
    assert enabled(registry) == {"wh_1": False}


def test_what_a_source_disables_can_be_enabled_and_stays_so() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint(enabled=False)])
    assert registry.enable("wh_1")
    registry.replace("app-1", "config", [endpoint(enabled=False)])
    assert enabled(registry) == {"wh_1": True}


def test_a_source_that_changes_its_mind_ends_what_was_said_by_hand() -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint()])
    registry.disable("wh_1")
    registry.replace("app-1", "config", [endpoint(enabled=False)])
    registry.replace("app-1", "config", [endpoint()])
    assert enabled(registry) == {"wh_1": True}


@pytest.mark.parametrize("until_moved", [False, True])
def test_another_url_enables_what_was_disabled_for_the_fault_of_the_old_one(until_moved: bool) -> None:
    registry = EndpointRegistry()
    registry.replace("app-1", "config", [endpoint()])
    registry.disable("wh_1", until_moved=until_moved)
    registry.replace("app-1", "config", [endpoint(url="http://elsewhere.example/")])
    assert enabled(registry) == {"wh_1": until_moved}
