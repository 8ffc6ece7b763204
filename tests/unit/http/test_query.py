from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.http.query import AUTH_PARAMS, MAX_PAIRS, Query, TooManyParameters, collapse, parse, read, read_signed
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


AUTH_NAMES = st.sampled_from([*sorted(AUTH_PARAMS), *sorted(AUTH_PARAMS), "Auth_Key", "info", "auth_key[]", ""])
AUTH_VALUES = st.one_of(
    st.sampled_from(["", "1.0", "%61", "a+b", "a&b"]), st.text(alphabet="ab1=&%+[]\n\udce9é", max_size=5)
)
IN_ORDER = ["auth_key", "auth_signature", "auth_timestamp", "auth_version", "body_md5", "auth_signature"]


def meant(query: str) -> Query:
    """Return what a query means, read by the rules alone."""
    params = collapse(parse(query))
    others = {name: value for name, value in params.items() if name not in AUTH_PARAMS}
    signed = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "auth_signature")
    names = ("auth_key", "auth_timestamp", "auth_version", "body_md5", "auth_signature")
    key, stamp, version, body_md5, signature = (params.get(name) for name in names)
    ambiguous = any(set(name) & {"&", "="} for name, _ in parse(query)) or any(
        "=" in part for value in params.values() for part in value.split("&")[1:]
    )
    return Query(key, stamp, version, body_md5, signature, signed, others, ambiguous)


@given(st.dictionaries(st.text(alphabet="ab&=[],", max_size=4), st.text(alphabet="ab&=,", max_size=6), max_size=3))
def test_what_is_signed_is_read_in_one_way_unless_it_is_called_ambiguous(params: dict[str, str]) -> None:
    query = read_signed("&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params.items()))
    if query.ambiguous:
        return
    again: dict[str, str] = {}
    name = ""
    for part in query.signed.split("&") if query.signed else ():
        if "=" in part:
            name, _, again[name] = part.partition("=")
        else:
            again[name] += f"&{part}"
    assert again == query.others


@given(st.lists(st.tuples(AUTH_NAMES, AUTH_VALUES), max_size=7))
def test_a_signed_query_is_read_by_the_rules(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={value}" for name, value in pairs)
    assert read_signed(query) == meant(query)


@given(st.lists(st.sampled_from(IN_ORDER), unique=True).map(lambda chosen: [n for n in IN_ORDER if n in chosen]))
def test_parameters_that_are_missing_are_missed(names: list[str]) -> None:
    query = "&".join(f"{name}={number}" for number, name in enumerate(names))
    assert read_signed(query) == meant(query)


@given(st.lists(AUTH_VALUES, min_size=6, max_size=6), st.sampled_from([0, 1, 2, 3]), st.sampled_from(["", "&", "&a=b"]))
def test_the_usual_queries_are_read_by_the_rules(values: list[str], signatures: int, end: str) -> None:
    pairs = [f"{name}={value}" for name, value in zip(IN_ORDER, values, strict=True)]
    kept = [
        pair for at, pair in enumerate(pairs) if not (at == 1 and signatures & 1) and not (at == 5 and signatures & 2)
    ]
    query = "&".join(kept) + end
    assert read_signed(query) == meant(query)


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
