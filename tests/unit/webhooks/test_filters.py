from typing import Any

import pytest

from sockudo_py.endpoints import ChannelFilter
from sockudo_py.webhooks.endpoints.filters import compile_filter, filter_problems, impossible, wants
from tests.unit.webhooks.make import endpoint

NAMES = {
    "public": "news",
    "private": "private-a",
    "encrypted": "private-encrypted-a",
    "presence": "presence-a",
    "cache": "cache-a",
    "private cache": "private-cache-a",
    "presence cache": "presence-cache-a",
    "encrypted cache": "private-encrypted-cache-a",
    "looks like one": "my-presence-a",
    "internal": "#server-to-user-7",
}


def passing(**conditions: Any) -> set[str]:
    test = compile_filter(ChannelFilter(**conditions))
    assert test is not None
    return {kind for kind, name in NAMES.items() if test(name)}


def test_no_condition_lets_everything_pass() -> None:
    assert compile_filter(ChannelFilter()) is None


@pytest.mark.parametrize(
    ("channel_type", "kinds"),
    [
        ("public", {"public", "cache", "looks like one"}),
        ("private", {"private", "private cache"}),
        ("presence", {"presence", "presence cache"}),
        ("encrypted", {"encrypted", "encrypted cache"}),
        ("private-encrypted", {"encrypted", "encrypted cache"}),
        ("cache", {"cache", "private cache", "presence cache", "encrypted cache"}),
    ],
)
def test_n212_a_channel_type_is_told_by_the_beginning_of_the_name(channel_type: str, kinds: set[str]) -> None:
    assert passing(channel_type=channel_type) == kinds


def test_n212_type_and_prefix_must_both_hold_and_the_prefix_may_leave_the_class_out() -> None:
    test = compile_filter(ChannelFilter(channel_type="presence", channel_prefix="admin-"))
    assert test is not None
    assert test("presence-admin-1")
    assert test("presence-cache-admin-1")
    assert not test("presence-user-1")
    assert not test("private-admin-1")
    assert not test("admin-1")


def test_a_prefix_alone_is_tested_on_the_full_name() -> None:
    test = compile_filter(ChannelFilter(channel_prefix="chat-"))
    assert test is not None
    assert test("chat-1")
    assert not test("private-chat-1")


def test_the_full_prefix_works_together_with_a_type() -> None:
    test = compile_filter(ChannelFilter(channel_type="presence", channel_prefix="presence-admin-"))
    assert test is not None
    assert test("presence-admin-1")


def test_suffix_namespace_and_pattern() -> None:
    test = compile_filter(
        ChannelFilter(channel_suffix="-eu", channel_namespace="orders", channel_pattern="^private-orders:[0-9]+-")
    )
    assert test is not None
    assert test("private-orders:17-eu")
    assert not test("private-orders:17-us")
    assert not test("private-orders:x-eu")
    assert not test("private-chat:17-eu")


@pytest.mark.parametrize(
    ("listed", "name", "wanted"),
    [
        ({"*"}, "channel_occupied", True),
        ({"*"}, "order.paid", True),
        ({"*"}, "connection_established", False),
        ({"*", "connection_established"}, "connection_established", True),
        ({"*", "connection_established"}, "connection_terminated", False),
        ({"member_added"}, "member_added", True),
        ({"member_added"}, "member_removed", False),
        (set(), "member_added", False),
    ],
)
def test_n211_n215_an_endpoint_hears_of_what_it_lists(listed: set[str], name: str, wanted: bool) -> None:
    assert wants(endpoint(event_types=frozenset(listed)), name) is wanted


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("([a-z", "not a regular expression"),
        ("x" * 257, "longer than 256"),
        ("(a+)+$", "take forever"),
        ("((a+))+$", "take forever"),
        ("(?:a|aa)*b", "take forever"),
        ("(a*){2,}", "take forever"),
        ("([a-z]+){10}", "take forever"),
        (".*a.*b.*c", "3 open repetitions"),
        ("^.*a.*b.*c.*d", "4 open repetitions"),
        ("(a{1,100}){1,100}b", "repeated group"),
        ("(?:a?){60}b", "repeated group"),
        ("a{0,200}a{0,200}a{0,200}b", "3 open repetitions"),
        ("a?" * 60 + "b", "60 optional parts"),
    ],
)
def test_a_pattern_that_is_wrong_or_could_take_forever_is_refused(pattern: str, problem: str) -> None:
    problems = filter_problems(ChannelFilter(channel_pattern=pattern))
    assert len(problems) == 1
    assert problems[0].startswith("filter.channel_pattern: ")
    assert problem in problems[0]


@pytest.mark.parametrize(
    "pattern",
    ["^presence-[a-z]+-[0-9]+-.*$", "room-(eu|us)$", "^private-(?:a|b)-.+", r"[*+]\+\(x\)", "a{2,5}", "(ab)+"],
)
def test_an_ordinary_pattern_is_taken(pattern: str) -> None:
    assert filter_problems(ChannelFilter(channel_pattern=pattern)) == []
    assert compile_filter(ChannelFilter(channel_pattern=pattern)) is not None


def test_an_unknown_channel_type_is_refused_by_name() -> None:
    problems = filter_problems(ChannelFilter(channel_type="secret"))
    assert problems == [
        "filter.channel_type: 'secret' is none of public, private, presence, encrypted, private-encrypted, cache"
    ]
    with pytest.raises(ValueError, match="none of public"):
        compile_filter(ChannelFilter(channel_type="secret"))


@pytest.mark.parametrize("name", ["ticker", "ticker-btc", "private-ticker.btc", "presence-ticker_1", "ticker@x"])
def test_a_namespace_ends_at_any_separator(name: str) -> None:
    for filters in (ChannelFilter(channel_namespace="ticker"), ChannelFilter(channel_namespaces=("x", "ticker"))):
        test = compile_filter(filters)
        assert test is not None
        assert test(name)
        assert not test("tickers-btc")
        assert not test("my-ticker")


@pytest.mark.parametrize(
    "conditions",
    [
        {"channel_prefix": "chat:"},
        {"channel_suffix": " x"},
        {"channel_namespace": "a:b"},
        {"channel_namespaces": ()},
        {"channel_namespaces": ("ok", "a/b")},
        {"channel_type": "public", "channel_prefix": "private-", "channel_namespace": "x"},
        {"channel_prefix": "chat-", "channel_namespace": "orders"},
        {"channel_type": "private", "channel_suffix": "é"},
        {"channel_pattern": "^orders:[0-9]+"},
        {"channel_pattern": r"a\/b"},
    ],
)
def test_a_filter_that_no_channel_can_pass_is_told(conditions: dict[str, Any]) -> None:
    wanted = ChannelFilter(**conditions)
    assert filter_problems(wanted) == []
    assert len(list(impossible(wanted))) == 1


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"channel_prefix": "presence-"},
        {"channel_prefix": "pri"},
        {"channel_type": "presence", "channel_prefix": "admin-"},
        {"channel_type": "presence", "channel_prefix": "presence-admin-", "channel_suffix": "-eu"},
        {"channel_type": "cache", "channel_prefix": "private-"},
        {"channel_prefix": "presence-", "channel_namespace": "chat"},
        {"channel_prefix": "chat-ro", "channel_namespace": "chat", "channel_suffix": "room"},
        {"channel_prefix": "ab", "channel_suffix": "bc"},
        {"channel_suffix": "presence-x", "channel_type": "presence"},
        {"channel_pattern": ""},
        {"channel_pattern": "^private-(a|b:c)"},
        {"channel_pattern": "a:?b"},
        {"channel_pattern": "[:a]"},
        {"channel_pattern": "^(?:x:)?a"},
    ],
)
def test_a_filter_that_some_channel_passes_is_not(conditions: dict[str, Any]) -> None:
    assert list(impossible(ChannelFilter(**conditions))) == []
