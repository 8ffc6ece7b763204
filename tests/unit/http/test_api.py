"""What holds for every route."""

import json
import logging

import pytest

from sockudo_py.http.api import ApiRequest
from sockudo_py.http.routes import ROUTES, ForOperators, MethodMismatch, Open, Route, Router, Signed
from sockudo_py.limits.base import RequestLimit
from tests.unit.http.support import World, get, post, signed, text

OPEN = {
    ("GET", "/"),
    ("OPTIONS", "/"),
    ("GET", "/ready"),
    ("GET", "/accept-traffic"),
    ("GET", "/up"),
    ("GET", "/up/{app_id}"),
    ("GET", "/live"),
}
FOR_OPERATORS = {"/usage"}
SIGNED = [route for route in ROUTES if isinstance(route, Signed)]
EVENT = {"name": "e", "channel": "c", "data": "x"}


def fill(pattern: str) -> str:
    return pattern.replace("{app_id}", "3").replace("{channel}", "presence-a").replace("{user_id}", "u")


def unsigned(method: str, path: str, body: bytes = b"") -> ApiRequest:
    return ApiRequest(method, path, "", {}, body, "")


def test_every_route_is_signed_or_listed_as_open_or_for_operators() -> None:
    assert {(route.method, route.pattern) for route in ROUTES if isinstance(route, Open)} == OPEN
    assert {route.pattern for route in ROUTES if isinstance(route, ForOperators)} == FOR_OPERATORS
    assert len(SIGNED) + len(OPEN) + len(FOR_OPERATORS) == len(ROUTES)


@pytest.mark.parametrize("route", SIGNED, ids=lambda route: f"{route.method} {route.pattern}")
@pytest.mark.parametrize("body", [b"", json.dumps(EVENT).encode()])
def test_a_signed_route_refuses_who_has_not_signed(world: World, route: Route, body: bytes) -> None:
    answer = world.now_answer(unsigned(route.method, fill(route.pattern), body))
    assert answer.status == 401
    assert text(answer)
    assert world.node.published == []
    assert world.node.terminated == []


@pytest.mark.parametrize("route", SIGNED, ids=lambda route: f"{route.method} {route.pattern}")
async def test_M195_a_disabled_app_is_refused_on_every_route(world: World, route: Route) -> None:
    world.configure(enabled=False)
    answer = await world.ask(signed(route.method, fill(route.pattern)))
    assert answer.status == 403
    assert text(answer) == "App disabled\n"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
def test_M195_a_wrong_method_is_told_the_right_ones(world: World, route: Route) -> None:
    answer = world.now_answer(unsigned("DELETE", fill(route.pattern)))
    assert answer.status == 405
    assert text(answer) == "Method not allowed\n"
    assert ("Allow", "POST, OPTIONS" if route.method == "POST" else "GET, HEAD, OPTIONS") in answer.headers


@pytest.mark.parametrize(
    "path",
    ["", "/apps", "/apps/3", "/apps/3/", "/apps/3/nothing", "/apps/3/events/", "//apps/3/events", "/up/3/4", "*"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
def test_M195_an_unknown_path_is_not_found(world: World, method: str, path: str) -> None:
    answer = world.now_answer(unsigned(method, path))
    assert answer.status == 404
    assert text(answer) == "Not found\n"


def test_O229_the_fallback_transports_of_pusher_js_are_not_found(world: World) -> None:
    assert world.now_answer(unsigned("POST", "/pusher/app/K/123/abcdefgh/xhr_streaming")).status == 404


async def test_head_is_answered_like_get(world: World) -> None:
    answer = await world.ask(signed("HEAD", "/apps/3/channels"))
    assert (answer.status, answer.body) == (200, b'{"channels":{}}')


def test_options_tells_the_methods(world: World) -> None:
    answer = world.now_answer(unsigned("OPTIONS", "/apps/3/events"))
    assert (answer.status, answer.body) == (204, b"")
    assert ("Allow", "POST, OPTIONS") in answer.headers


def test_a_slash_inside_a_segment_does_not_make_another_route() -> None:
    assert Router().find("GET", "/apps/3%2Fevents") is None
    assert isinstance(Router().find("GET", "/apps/3/events"), MethodMismatch)


def test_a_defect_is_answered_without_details_and_logged_with_the_same_id(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.node.broken = True
    with caplog.at_level(logging.ERROR):
        answer = world.now_answer(post(EVENT))
    assert answer.status == 500
    message = text(answer)
    (record,) = caplog.records
    request_id = dict(answer.headers)["X-Request-Id"]
    assert message == f"Internal server error (request {request_id})\n"
    assert request_id in record.getMessage()
    assert record.exc_info is not None
    assert "auth_signature" not in record.getMessage()
    assert world.metrics.series["http_internal_errors_total"].values == {(): 1}


async def test_a_defect_in_a_later_answer_is_handled_the_same(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.node.broken = True
    with caplog.at_level(logging.ERROR):
        answer = await world.ask(get("/apps/3/channels"))
    assert answer.status == 500
    assert "hunter2" not in text(answer)
    assert len(caplog.records) == 1
    assert world.metrics.app("3").http_errors == 1


async def test_requests_bytes_and_errors_are_counted_by_app(world: World) -> None:
    body = json.dumps(EVENT).encode()
    world.now_answer(signed("POST", "/apps/3/events", body))
    answer = world.now_answer(unsigned("POST", "/apps/3/events", body))
    await world.ask(get("/apps/3/channels"))
    counters = world.metrics.app("3")
    assert counters.http_requests == 3
    assert counters.http_errors == 1
    assert counters.http_received_bytes == 2 * len(body)
    assert counters.http_sent_bytes == len(b"{}") + len(answer.body) + len(b'{"channels":{}}')


def test_requests_for_unknown_apps_make_no_counters(world: World) -> None:
    world.now_answer(post(EVENT, "/apps/99/events"))
    assert world.metrics.apps == {}


def test_an_address_over_its_rate_is_refused_before_any_work() -> None:
    world = World(address_limit=RequestLimit(2, 60.0))
    assert [world.now_answer(post(EVENT)).status for _ in range(3)] == [200, 200, 429]
    answer = world.now_answer(post(EVENT))
    assert ("Retry-After", "15") in answer.headers
    assert text(answer) == "Rate limit exceeded: too many requests from this address\n"
    assert world.metrics.series["http_address_limited_total"].values == {(): 2}
    assert len(world.node.published) == 2


def test_each_address_has_its_own_rate() -> None:
    world = World(address_limit=RequestLimit(1, 60.0))
    other = post(EVENT)
    other.remote = "203.0.113.10"
    assert [world.now_answer(request).status for request in (post(EVENT), other)] == [200, 200]


def test_health_checks_are_never_limited() -> None:
    world = World(address_limit=RequestLimit(0, 60.0))
    request = unsigned("GET", "/up")
    request.remote = "203.0.113.9"
    assert world.now_answer(request).status == 200


def test_open_routes_without_health_are_not_found() -> None:
    world = World(with_health=False)
    assert world.now_answer(unsigned("GET", "/up")).status == 404
    assert world.api.refusal("GET", "/up") is not None


def test_a_request_with_a_route_is_not_refused_early(world: World) -> None:
    assert world.api.refusal("POST", "/apps/3/events") is None
    assert world.api.refusal("POST", "/apps/3/event") is not None


def test_no_route_stands_twice_in_the_table() -> None:
    patterns = [(route.method, route.pattern) for route in ROUTES]
    assert len(patterns) == len(set(patterns))


def durations(world: World) -> dict[tuple[str, ...], list[float]]:
    """Return the rows of the histogram as a scrape finds them."""
    for refresh in world.metrics.before_scrape:
        refresh()
    return world.metrics.histograms["http_request_duration_seconds"].values


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.002, 1), (0.5, 8), (60.0, 12)])
def test_how_long_an_answer_takes_is_counted(seconds: float, bucket: int) -> None:
    times = iter([0.0, seconds] * 2)
    world = World(timer=lambda: next(times))
    for _ in range(2):
        assert world.now_answer(post(EVENT)).status == 200
    row = durations(world)["200",]
    assert [at for at, count in enumerate(row[:-1]) if count] == [bucket]
    assert row[bucket] == 2
    assert row[-1] == pytest.approx(2 * seconds)


async def test_answers_are_counted_by_their_status(world: World) -> None:
    world.now_answer(post(EVENT))
    await world.ask(get("/apps/3/channels"))
    world.now_answer(unsigned("POST", "/apps/3/events"))
    world.now_answer(unsigned("GET", "/nothing"))
    world.node.away = True
    await world.ask(get("/apps/3/channels"))
    counted = {labels[0]: sum(row[:-1]) for labels, row in durations(world).items()}
    assert counted == {"200": 2, "401": 1, "404": 1, "503": 1}


def test_a_scrape_counts_nothing_twice(world: World) -> None:
    world.now_answer(post(EVENT))
    assert durations(world) == durations(world)
