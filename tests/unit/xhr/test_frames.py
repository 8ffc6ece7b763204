"""Lines of the HTTP transports, their length as JavaScript counts it, and requests to send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.protocol.readers.opening import Refusal
from sockudo_py.xhr import frames
from tests.support.xhr import utf16_units

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_a_message_is_one_line_whatever_it_holds(text: str) -> None:
    line = frames.message_line(text.encode())
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line[:1] == b"a"
    assert json.loads(line[1:]) == [text]


def test_a_close_line_has_code_and_reason() -> None:
    assert frames.close_line(4009, 'a "reason"\n') == b'c[4009,"a \\"reason\\"\\n"]\n'
    assert json.loads(frames.close_line(1, "\ud800")[1:]) == [1, "?"]


def test_a_refusal_opens_the_session_tells_the_error_and_closes() -> None:
    opened, error, closed, rest = frames.refusal_lines(Refusal(4001, "no")).split(b"\n")
    assert (opened, rest) == (b"o", b"")
    assert json.loads(json.loads(error[1:])[0])["data"] == {"code": 4001, "message": "no"}
    assert closed == b'c[4001,"no"]'


@given(TEXTS)
def test_units_are_counted_as_javascript_does(text: str) -> None:
    assert frames.units(text.encode()) == utf16_units(text)


@given(st.lists(TEXTS.map(lambda text: text.replace("\n", "")), min_size=1), st.data())
def test_what_fits_is_cut_at_the_first_line_that_goes_beyond(texts: list[str], data: st.DataObject) -> None:
    lines = "".join(f"{text}\n" for text in texts)
    room = data.draw(st.integers(0, utf16_units(lines) - 1))
    end = frames.cut(lines.encode(), room)
    first = lines.encode()[:end].decode()
    assert first.endswith("\n")
    assert utf16_units(first) > room
    assert utf16_units(first[: first.rindex("\n", 0, -1) + 1] if "\n" in first[:-1] else "") <= room


def test_a_request_to_send_is_an_array_of_strings() -> None:
    assert frames.read_messages(b'["a","\\u00e9"]') == ["a", "é"]
    assert frames.read_messages(b"[]") == []


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"1", b'"a"', b"[1]", b'["a",null]', b"\xff", b"[" * 5000])
def test_what_is_none_is_refused_with_400(body: bytes) -> None:
    with pytest.raises(frames.BadBody) as refused:
        frames.read_messages(body)
    assert refused.value.status == 400


def test_too_many_messages_are_refused_with_413() -> None:
    assert len(frames.read_messages(json.dumps(["a"] * 100).encode())) == 100
    with pytest.raises(frames.BadBody) as refused:
        frames.read_messages(json.dumps(["a"] * 101).encode())
    assert refused.value.status == 413
