import json
from typing import Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.endpoints import Endpoint, EnvelopeName, ProfileName
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.delivery.requests import envelopes
from sockudo_py.webhooks.delivery.requests.envelopes import Body, dump, envelope_time, js_stable
from sockudo_py.webhooks.events import Event
from tests.unit.webhooks.make import NOW_MS, endpoint, job

OCCUPIED = {"name": "channel_occupied", "channel": "c", "time_ms": NOW_MS + 1}
MEMBER = {
    "name": "member_added",
    "channel": "presence-c",
    "user_id": "10",
    "socket_id": "1.2",
    "data": '{"user_id":"10"}',
    "time_ms": NOW_MS + 2,
}
CUSTOM = {"name": "call.completed", "event_id": "call_7", "data": {"seconds": 61.0}, "time_ms": NOW_MS + 1500}


def bodies(target: Endpoint, made: Job, now_ms: int, max_bytes: int | None = None) -> list[Body]:
    return list(envelopes.bodies(target, made, lambda: now_ms, max_bytes))


def test_n205_a_pusher_body_has_exactly_a_time_and_the_events() -> None:
    [body] = bodies(endpoint(), job(OCCUPIED, MEMBER), NOW_MS + 60)
    assert body.id == "dl_1"
    assert body.content == (
        b'{"time_ms":1700000000000,"events":[{"name":"channel_occupied","channel":"c","time_ms":1700000000001},'
        b'{"name":"member_added","channel":"presence-c","user_id":"10","socket_id":"1.2",'
        b'"data":"{\\"user_id\\":\\"10\\"}","time_ms":1700000000002}]}'
    )


def test_the_pusher_style_omits_what_hosted_pusher_does_not_send() -> None:
    [body] = bodies(endpoint(payload="pusher"), job(OCCUPIED, MEMBER), NOW_MS)
    assert orjson.loads(body.content) == {
        "time_ms": NOW_MS,
        "events": [
            {"name": "channel_occupied", "channel": "c"},
            {"name": "member_added", "channel": "presence-c", "user_id": "10"},
        ],
    }


def test_n223_text_beyond_ascii_travels_as_utf8() -> None:
    [body] = bodies(endpoint(), job({**OCCUPIED, "channel": "ünïcode-✓"}), NOW_MS)
    assert "ünïcode-✓".encode() in body.content


def test_the_python_style_is_what_json_dumps_writes() -> None:
    [body] = bodies(endpoint(json_style="python"), job({**OCCUPIED, "channel": "ü"}), NOW_MS)
    assert body.content == json.dumps(json.loads(body.content)).encode()
    assert b'"channel": "\\u00fc"' in body.content


@pytest.mark.parametrize(
    ("now_ms", "time_ms"),
    [
        (NOW_MS, NOW_MS),
        (NOW_MS + 239_999, NOW_MS),
        (NOW_MS + 240_000, NOW_MS + 240_000),
        (NOW_MS + 3_600_000, NOW_MS + 3_600_000),
        (
            NOW_MS - 10,
            NOW_MS - 10,
        ),  # the clock was set back: better a little early than refused for being in the future
    ],
)
def test_n217_the_time_of_a_pusher_body_is_its_creation_until_it_would_be_refused(now_ms: int, time_ms: int) -> None:
    assert envelope_time(NOW_MS, now_ms) == time_ms


WRAPPED: list[tuple[ProfileName, dict[str, object]]] = [
    (
        "pulse",
        {
            "event": "call.completed",
            "project_id": "app-1",
            "timestamp": "2023-11-14T22:13:21Z",
            "data": {"seconds": 61},
        },
    ),
    ("realcast", {"event": "call.completed", "timestamp": "2023-11-14T22:13:21Z", "data": {"seconds": 61}}),
    (
        "remotedevai",
        {"id": "call_7", "type": "call.completed", "timestamp": "2023-11-14T22:13:21Z", "data": {"seconds": 61}},
    ),
    (
        "irisx",
        {
            "event": "call.completed",
            "event_id": "call_7",
            "timestamp": "2023-11-14T22:13:21Z",
            "data": {"seconds": 61},
        },
    ),
    ("standard", {"type": "call.completed", "timestamp": "2023-11-14T22:13:21Z", "data": {"seconds": 61}}),
]


@pytest.mark.parametrize(("profile", "expected"), WRAPPED)
def test_other_envelopes_hold_one_event(profile: ProfileName, expected: dict[str, object]) -> None:
    [body] = bodies(endpoint(profile=profile), job(CUSTOM), NOW_MS + 10_000_000)
    assert orjson.loads(body.content) == expected
    assert list(orjson.loads(body.content)) == list(expected)


def test_a_channel_event_in_another_envelope_keeps_its_fields_as_data() -> None:
    [body] = bodies(endpoint(profile="irisx"), job(MEMBER), NOW_MS)
    assert orjson.loads(body.content) == {
        "event": "member_added",
        "event_id": "dl_1",
        "timestamp": "2023-11-14T22:13:20Z",
        "data": {key: value for key, value in MEMBER.items() if key != "name"},
    }


@pytest.mark.parametrize("profile", ["pulse", "realcast", "remotedevai", "irisx", "standard"])
def test_a_body_with_one_event_is_the_same_on_every_attempt(profile: ProfileName) -> None:
    target = endpoint(profile=profile)
    assert bodies(target, job(CUSTOM), NOW_MS) == bodies(target, job(CUSTOM, attempt=4), NOW_MS + 3_600_000)


def test_a_job_with_several_events_becomes_several_bodies_with_ids_that_stay() -> None:
    target = endpoint(profile="irisx")
    first = bodies(target, job(OCCUPIED, MEMBER), NOW_MS)
    assert [body.id for body in first] == ["dl_1_0", "dl_1_1"]
    assert [orjson.loads(body.content)["event"] for body in first] == ["channel_occupied", "member_added"]
    assert bodies(target, job(OCCUPIED, MEMBER, attempt=1), NOW_MS + 5000) == first


def names(body: Body) -> list[str]:
    return [event["name"] for event in orjson.loads(body.content)["events"]]


def test_a_batch_that_is_too_large_comes_in_smaller_ones_with_ids_that_stay() -> None:
    batch = job(*({"name": f"e{number}", "data": "x" * 100} for number in range(5)))
    first = bodies(endpoint(), batch, NOW_MS, 300)
    assert [(body.id, names(body)) for body in first] == [
        ("dl_1_0-1", ["e0", "e1"]),
        ("dl_1_2", ["e2"]),
        ("dl_1_3-4", ["e3", "e4"]),
    ]
    assert all(len(body.content) <= 300 for body in first)
    assert [body.id for body in bodies(endpoint(), batch, NOW_MS + 3_600_000, 300)] == [body.id for body in first]


def test_a_single_event_that_is_too_large_stays_as_it_is() -> None:
    batch = job({"name": "small"}, {"name": "large", "data": "x" * 300}, {"name": "last"})
    assert [(body.id, names(body), len(body.content) > 200) for body in bodies(endpoint(), batch, NOW_MS, 200)] == [
        ("dl_1_0", ["small"], False),
        ("dl_1_1", ["large"], True),
        ("dl_1_2", ["last"], False),
    ]


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=30), st.integers(50, 600), st.sampled_from(["compact", "python"])
)
def test_however_a_batch_is_split_each_event_comes_once_and_in_order(
    sizes: list[int], limit: int, json_style: Literal["compact", "python"]
) -> None:
    batch = job(*({"name": f"e{at}", "data": "é" * size} for at, size in enumerate(sizes)))
    split = bodies(endpoint(json_style=json_style), batch, NOW_MS, limit)
    assert [name for body in split for name in names(body)] == [f"e{at}" for at in range(len(sizes))]
    assert [at for body in split for at in body.events] == list(range(len(sizes)))
    assert all(len(body.content) <= limit or len(body.events) == 1 for body in split)
    assert len({body.id for body in split}) == len(split)


def test_a_body_is_made_when_it_is_asked_for() -> None:
    times = iter([NOW_MS + 400_000, NOW_MS + 500_000, NOW_MS + 600_000])
    batch = job({"name": "a", "data": "x" * 100}, {"name": "b", "data": "x" * 100})
    made = envelopes.bodies(endpoint(), batch, lambda: next(times), 200)
    assert [orjson.loads(body.content)["time_ms"] for body in made] == [NOW_MS + 500_000, NOW_MS + 600_000]


@pytest.mark.parametrize(("envelope", "count"), [("pusher", 1), ("irisx", 2)])
def test_an_endpoint_can_choose_another_envelope_than_its_profiles(envelope: EnvelopeName, count: int) -> None:
    assert len(bodies(endpoint(profile="custom", envelope=envelope), job(OCCUPIED, MEMBER), NOW_MS)) == count


def test_an_event_that_a_person_wrote_without_a_usable_time_gets_the_jobs() -> None:
    [body] = bodies(endpoint(profile="realcast"), job({"name": "x", "time_ms": "yesterday"}), NOW_MS)
    assert orjson.loads(body.content)["timestamp"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, b"1"),
        (-0.0, b"0"),
        (0.5, b"0.5"),
        (2**53 - 1, b"9007199254740991"),
        (2**53, b'"9007199254740992"'),
        (True, b"true"),
        ({"b": 1, "10": 2, "2": 3, "01": 4}, b'{"2":3,"10":2,"b":1,"01":4}'),
        ({"4294967295": 1, "a": 2, "1": 3}, b'{"1":3,"4294967295":1,"a":2}'),
        ([1.0, {"x": [2.0]}], b'[1,{"x":[2]}]'),
        ("</script>✓", '"</script>✓"'.encode()),
    ],
)
def test_a_compact_body_is_what_javascript_would_write_of_it(value: object, text: bytes) -> None:
    assert dump(value, "compact") == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_making_a_value_stable_twice_changes_nothing_more(value: object) -> None:
    once = js_stable(value)
    assert dump(once, "compact") == dump(orjson.loads(dump(value, "compact")), "compact")


@given(JSON)
def test_a_python_body_survives_pythons_parse_and_dump(value: object) -> None:
    text = dump(value, "python")
    assert json.dumps(json.loads(text)).encode() == text


@pytest.mark.parametrize("profile", ["pulse", "pusher"])
def test_own_events_that_go_in_many_parts_are_parsed_no_more_than_twice(
    profile: ProfileName, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 0

    def counting(self: Job) -> list[Event]:
        nonlocal number
        number += self.parsed is None
        return events(self)

    events = Job.events
    one = job(*({"name": "client_event", "data": "x" * 50, "time_ms": NOW_MS} for _ in range(50)), own=50)
    monkeypatch.setattr(Job, "events", counting)
    made = list(envelopes.bodies(endpoint(profile=profile), one, lambda: NOW_MS, 200))
    assert len(made) > 20
    assert [at for body in made for at in body.events] == list(range(50))
    assert number <= 2
