"""Who is noisy, and whose events go."""

from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.spool.noise import FEW, Cuts, Leaves, Noise, level, noise_of, top, totals_of

WHOLE = 10_000


def sources(number: int, address: str = "192.0.2.1", app_id: str = "a") -> list[Source]:
    return [Source(app_id, f"{address}.{one}", address) for one in range(number)]


def test_a_connection_with_a_hundredth_is_noisy_and_others_at_its_address_are_not() -> None:
    loud, quiet = sources(2)
    noise = noise_of({loud: 100, quiet: 99}, WHOLE)
    assert noise == Noise(frozenset({loud}), frozenset())


def test_short_connections_make_their_address_noisy() -> None:
    gone = dict.fromkeys(sources(250), 2)
    (quiet,) = sources(1, "192.0.2.2")
    noise = noise_of({**gone, quiet: 9}, WHOLE)
    assert noise == Noise(frozenset(), frozenset({("a", "192.0.2.1")}))


def test_at_a_noisy_address_those_with_a_thousandth_are_noisy_too() -> None:
    many = sources(100)
    (quiet,) = sources(1, "192.0.2.2")
    few = sources(101)[-1]
    noise = noise_of({**dict.fromkeys(many, 10), few: 9, quiet: 90}, WHOLE)
    assert noise.sources == frozenset(many)


def test_at_a_noisy_address_the_loudest_are_noisy_until_the_others_have_no_more_than_a_twentieth() -> None:
    loud, louder, some = sources(100, "192.0.2.1"), sources(50, "192.0.2.1"), sources(400, "192.0.2.2")
    totals = {**dict.fromkeys(loud, 6), **dict.fromkeys(louder, 9), **dict.fromkeys(some, 1)}
    noise = noise_of(totals, WHOLE)
    assert noise.sources <= set(loud) | set(louder)
    assert noise.sources >= set(louder)
    left = sum(total for source, total in totals.items() if source not in noise.sources and source not in some)
    assert WHOLE / 20 - 6 < left <= WHOLE / 20


def test_an_address_is_looked_at_within_its_app() -> None:
    one, other = sources(200), sources(200, app_id="b")
    noise = noise_of(dict.fromkeys([*one, *other], 2), WHOLE)
    assert not noise
    noise = noise_of({**dict.fromkeys(one, 3), **dict.fromkeys(other, 2)}, WHOLE)
    assert noise.addresses == {("a", "192.0.2.1")}


def test_events_of_nobody_count_for_nobody() -> None:
    (source,) = sources(1)
    events = [Append("1", "wh", "a", b"12345", 0), Append("2", "wh", "a", b"12345", 0, source=source)]
    assert totals_of(events, in_bytes=False) == {source: 1}
    assert totals_of(events, in_bytes=True) == {source: 285}


def test_the_noisiest_are_named_with_what_they_have() -> None:
    a, b, c, d = sources(4)
    assert top({a: 1, b: 3, c: 3, d: 9}, {a, b, c}, 2) == [(c, 3), (b, 3)]


def test_the_largest_are_cut_to_one_level() -> None:
    assert level({"a": 10, "b": 7, "c": 1}, 5, 0) == {"a": 4, "b": 1}
    assert level({"a": 10, "b": 7, "c": 1}, 100, 2) == {"a": 8, "b": 5}
    assert level({}, 5, 0) == {}


@given(st.dictionaries(st.integers(), st.integers(1, 1000), max_size=30), st.integers(0, 5000), st.integers(0, 100))
def test_a_level_frees_what_is_needed_if_it_can_and_hardly_more(totals: dict[int, int], need: int, floor: int) -> None:
    taken = level(totals, need, floor)
    possible = sum(max(0, total - floor) for total in totals.values())
    freed = sum(taken.values())
    assert min(need, possible) <= freed <= min(need + len(totals), possible)
    left = {key: total - taken.get(key, 0) for key, total in totals.items()}
    if taken:
        assert max(left.values()) <= min(left[key] for key in taken), "they are on one level"


def test_a_connection_goes_before_its_address_and_that_before_anybody_else() -> None:
    (loud,) = sources(1, "192.0.2.9")
    many = sources(400)
    (quiet,) = sources(1, "192.0.2.2")
    totals = {loud: 500, quiet: 90, **dict.fromkeys(many, 2)}
    cuts = Cuts(totals, 300, WHOLE)
    assert [cuts.takes(source, 1) for source in (quiet, many[0], loud)] == [False, False, True]
    cuts = Cuts(totals, 600, WHOLE)
    assert cuts.left == 600
    assert [cuts.takes(source, 1) for source in (quiet, many[0], loud)] == [False, True, True]
    cuts = Cuts(totals, 5000, WHOLE)
    assert cuts.left == 400 + 300, "the rest is nobody's fault"
    assert not cuts.takes(None, 1)


def test_cuts_take_no_more_than_they_say() -> None:
    (loud,) = sources(1)
    cuts = Cuts({loud: 500}, 30, WHOLE)
    assert sum(cuts.takes(loud, 1) for _ in range(500)) == 30


def test_leaves_of_everybody_wait_when_there_is_hardly_any_room() -> None:
    full = False
    leaves = Leaves(Noise(), lambda: full)
    (quiet,) = sources(1)
    assert not leaves.wait(quiet)
    full = True
    assert leaves.wait(quiet)


def test_leaves_of_the_noisy_wait_and_of_those_at_their_address_all_but_a_few() -> None:
    loud, beside = sources(2)
    (quiet,) = sources(1, "192.0.2.2")
    leaves = Leaves(Noise(frozenset({loud}), frozenset({("a", "192.0.2.1")})))
    assert leaves.wait(loud)
    assert [leaves.wait(beside) for _ in range(FEW + 1)] == [False] * FEW + [True]
    assert not any(leaves.wait(quiet) for _ in range(FEW + 1))
