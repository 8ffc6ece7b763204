import orjson
import pytest

from sockudo_py.queues.base import Append
from sockudo_py.webhooks.spool.lines import event_in, line_of

EVENT = Append("1", "wh_1", "a", '{"x":"ü\\n"}'.encode(), 5)


@pytest.mark.parametrize("event", [EVENT, EVENT._replace(solo=True), EVENT._replace(event=b"{}", created_ms=0)])
def test_an_event_comes_back_as_it_was(event: Append) -> None:
    line = line_of(event)
    assert event_in(line) == event
    assert line.index(b"\n") == len(line) - 1


def test_events_that_were_in_a_file_are_not_our_own_any_more() -> None:
    assert event_in(line_of(EVENT._replace(own=True))) == EVENT


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"garbage\n", "is not JSON"),
        (line_of(EVENT)[:-20], "is cut off, or not JSON"),
        (b"[]\n", "is not a JSON object"),
        (b"{}\n", "id is missing or of another type than str"),
        (line_of(EVENT).replace(b'"wh_1"', b'""'), "endpoint is empty"),
    ],
)
def test_a_line_that_holds_no_event_is_refused_with_what_is_wrong(line: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        event_in(line)


@pytest.mark.parametrize("key", ["id", "endpoint", "app_id", "event", "created_ms", "solo"])
@pytest.mark.parametrize("value", [None, 1.5, [], {}, "", "\u00e9", -1, 10**18, True, "e30", "W10="])
def test_a_value_of_another_type_is_refused(key: str, value: object) -> None:
    line = orjson.dumps({**orjson.loads(line_of(EVENT)), key: value})
    fits = (key == "solo" and value is True) or (
        key in ("id", "endpoint", "app_id") and isinstance(value, str) and value
    )
    if fits:
        assert event_in(line)
        return
    with pytest.raises(ValueError, match=key):
        event_in(line)
