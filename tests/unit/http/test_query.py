import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.http.query import MAX_PAIRS, TooManyParameters, collapse, parse, read
from sockudo_py.protocol.signatures import http_string

NAMES = st.sampled_from(["a", "b", "info", "info[]", "info[0]", "a[b][c]", "a[", "]", "[]", "[x]", "", "a]"])
VALUES = st.sampled_from(["", "1", "2,3", "x y", "é"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_parameters_mean_what_was_signed(pairs: list[tuple[str, str]]) -> None:
    meant = "&".join(f"{name}={value}" for name, value in sorted(collapse(pairs).items()))
    assert http_string("GET", "/", pairs) == f"GET\n/\n{meant}"


@given(st.text(alphabet="ab[]=&%+5D1", max_size=20))
def test_the_short_way_reads_what_the_long_way_reads(query: str) -> None:
    assert read(query) == (parse(query), collapse(parse(query)))


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("a=1&&b=2", [("a", "1"), ("b", "2")]),
        ("A=B", [("a", "B")]),
        ("a", [("a", "")]),
        ("a=b=c", [("a", "b=c")]),
        ("a=1+2%2B3", [("a", "1 2+3")]),
        ("a=%", [("a", "%")]),
        ("a=%C3%A9", [("a", "é")]),
        ("a=%ff", [("a", "\ufffd")]),
        ("%41=1", [("a", "1")]),
    ],
)
def test_a_query_is_decoded_once(query: str, pairs: list[tuple[str, str]]) -> None:
    assert parse(query) == pairs


def test_a_query_has_a_largest_number_of_parameters() -> None:
    assert len(parse("&".join(["a=1"] * MAX_PAIRS))) == MAX_PAIRS
    with pytest.raises(TooManyParameters):
        parse("&".join(["a=1"] * (MAX_PAIRS + 1)))
