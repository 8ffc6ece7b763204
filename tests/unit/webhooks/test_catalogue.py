"""The catalogue says what is sent: every body that is made fits its schema, and nothing else does."""

import copy
from collections.abc import Iterator
from typing import Any, get_args

import orjson
import pytest

from sockudo_py import schemas as json_schemas
from sockudo_py.apps.types import event_type_problems
from sockudo_py.endpoints import ProfileName
from sockudo_py.event_types import RESERVED, EventType
from sockudo_py.schemas import compiled
from sockudo_py.webhooks.catalogue.catalogue import Catalogue
from sockudo_py.webhooks.catalogue.models import EVENTS, EventModel
from sockudo_py.webhooks.catalogue.schemas import Payload, Shape, request_schema
from sockudo_py.webhooks.delivery.requests.envelopes import bodies
from sockudo_py.webhooks.delivery.requests.examples import request_example
from sockudo_py.webhooks.delivery.testing import sample_event
from sockudo_py.webhooks.events import EVENT_NAMES, event_of
from sockudo_py.webhooks.trigger.asked import Asked
from tests.docs.made import CHANGES
from tests.unit.webhooks import make

ORDER = EventType(
    "order.paid",
    "An order was paid.",
    {
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"$ref": "#/$defs/amount"}},
        "$defs": {"amount": {"type": "string", "pattern": "^[0-9]+$"}},
    },
    {"amount": "12"},
)
FREE = EventType("free", "Anything.")
SHAPES = [Shape(profile, payload) for profile in get_args(ProfileName) for payload in get_args(Payload)]
ids = lambda shape: f"{shape.profile}-{shape.payload}"  # noqa: E731


def sent(shape: Shape, event: dict[str, Any]) -> list[Any]:
    """Return the bodies that carry an event to an endpoint."""
    endpoint = make.endpoint(profile=shape.profile, payload=shape.payload)
    return [orjson.loads(body.content) for body in bodies(endpoint, make.job(event), lambda: make.NOW_MS)]


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every object in a JSON value."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            yield from strings(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from strings(inner, (*path, at))


def test_every_event_of_the_server_has_a_model() -> None:
    assert set(EVENTS) == set(EVENT_NAMES.values())
    assert set(EVENT_NAMES.values()) | {"resync_started", "resync_completed"} == RESERVED


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_every_request_fits_its_schema_and_no_other(shape: Shape) -> None:
    checks = {name: compiled(request_schema(model, shape)) for name, model in EVENTS.items()}
    for change in CHANGES:
        name = EVENT_NAMES[type(change)]
        for body in sent(shape, event_of(change, make.NOW_MS)):
            assert [other for other, check in checks.items() if not check(body)] == [name]


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_a_field_more_fits_no_schema(shape: Shape) -> None:
    for change in CHANGES:
        check = compiled(request_schema(EVENTS[EVENT_NAMES[type(change)]], shape))
        [body] = sent(shape, event_of(change, make.NOW_MS))
        for place in strings(body):
            changed = copy.deepcopy(body)
            inner = changed
            for key in place:
                inner = inner[key]
            inner["more"] = 1
            assert check(changed), place


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_an_applications_event_fits_the_schema_of_its_type(shape: Shape) -> None:
    check, free = compiled(request_schema(ORDER, shape)), compiled(request_schema(FREE, shape))
    for data in ({"amount": "7"}, {"amount": "7", "more": 1}):
        for user_id in (None, "u"):
            [body] = sent(shape, orjson.loads(Asked("order.paid", data, user_id=user_id).text("e", make.NOW_MS)))
            assert check(body) == []
            assert free(body)
    [body] = sent(shape, orjson.loads(Asked("order.paid", {"amount": "x"}).text("e", make.NOW_MS)))
    assert check(body)
    [body] = sent(shape, orjson.loads(Asked("free", [1, None]).text("e", make.NOW_MS)))
    assert free(body) == []


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize("event", [*EVENTS.values(), ORDER, FREE], ids=lambda event: event.name)
def test_every_example_fits_its_schema(event: EventModel | EventType, shape: Shape) -> None:
    assert compiled(request_schema(event, shape))(request_example(event, shape, "my-app")) == []


def test_tests_send_the_examples() -> None:
    for name, model in EVENTS.items():
        assert sample_event(name, "app-1", 5) == sample_event(name, "app-1", 5, model)
        assert sample_event(name, "app-1", 5)["time_ms"] == 5
    assert sample_event("order.paid", "app-1", 5, ORDER)["data"] == {"amount": "12"}
    assert sample_event("free", "app-1", 5, FREE)["data"] == sample_event("unknown", "app-1", 5)["data"]


# -- types that apps register


def test_data_that_does_not_fit_has_problems_with_places() -> None:
    catalogue = Catalogue()
    catalogue.replace("app-1", [ORDER, FREE])
    assert not catalogue.check("app-1", "order.paid", {"amount": "7"})
    assert not catalogue.check("app-1", "free", 1)
    assert not catalogue.check("app-1", "unknown", 1)
    assert not catalogue.check("app-2", "order.paid", 1)
    [(place, _)] = catalogue.check("app-1", "order.paid", {"amount": 7})
    assert place == "amount"
    catalogue.replace("app-1", [FREE])
    assert not catalogue.check("app-1", "order.paid", 1)
    catalogue.remove("app-1")
    assert catalogue.registered("app-1") == ()


def test_a_schema_that_is_none_changes_nothing() -> None:
    catalogue = Catalogue()
    catalogue.replace("app-1", [ORDER])
    with pytest.raises(ValueError, match="not valid"):
        catalogue.replace("app-1", [EventType("a", schema={"type": "nothing"})])
    assert catalogue.registered("app-1") == (ORDER,)
    assert catalogue.check("app-1", "order.paid", 1)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "nothing"}, "not valid"),
        ({"pattern": "("}, "regex"),
        ({"$ref": "https://example.com/schema.json"}, "not followed"),
        ({"$ref": "http://169.254.169.254/latest"}, "not followed"),
        ({"$ref": "file:///etc/passwd"}, "not followed"),
        ({"$ref": "#/$defs/none"}, ""),
        ({"$schema": "https://example.com/dialect"}, ""),
        ({"enum": ["x" * 70_000]}, "bytes"),
        ({"not": {"not": {"not": {}}}}, None),
    ],
)
def test_unusable_schemas_are_named(schema: dict[str, Any], said: str | None) -> None:
    problems = list(event_type_problems([EventType("a.b", schema=schema)]))
    assert len(problems) == (said is not None)
    for problem in problems:
        assert problem.startswith("a.b: schema: ")
        assert said is not None
        assert said in problem


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"not": schema}
    assert "deep" in "".join(event_type_problems([EventType("a", schema=schema)]))


@pytest.mark.parametrize("name", ["channel_occupied", "webhook.endpoint_failing", "resync_started"])
def test_reserved_names_and_doubles_are_named(name: str) -> None:
    assert "the server itself" in "".join(event_type_problems([EventType(name)]))
    assert "twice" in "".join(event_type_problems([EventType("a"), EventType("a")]))


def test_an_example_must_fit() -> None:
    [problem] = event_type_problems([EventType("a", schema=ORDER.schema, example={"amount": 1})])
    assert problem.startswith("a: example.amount: ")


def test_without_the_library_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockudo_py.apps.types.available", lambda: False)
    [problem] = event_type_problems([ORDER, EventType("b", schema={})])
    assert "pip install 'sockudo-py[schemas]'" in problem
    assert list(event_type_problems([FREE])) == []


def test_a_schema_that_refers_to_itself_and_a_hostile_pattern_cost_nothing() -> None:
    check = compiled({"$ref": "#"})
    assert check([[]]) == []
    deep: Any = []
    for _ in range(250):
        deep = [deep]
    assert compiled({"items": {"$ref": "#"}})(deep) == []
    assert compiled({"pattern": "^(a+)+$"})("a" * 100_000 + "b")


def test_the_problems_of_a_value_are_bounded() -> None:
    found = compiled({"items": {"type": "string"}})([1] * 1000)
    assert len(found) == json_schemas.MOST_PROBLEMS
    assert all(len(place) <= 200 and len(what) <= 300 for place, what in compiled({"enum": ["a"]})("x" * 5000))
