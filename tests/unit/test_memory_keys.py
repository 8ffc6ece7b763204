"""What only the idempotency keys in memory promise: their bound."""

from sockudo_py.caches.memory_keys import MemoryKeys
from tests.support.fake_loop import FakeLoop


def known(keys: MemoryKeys, *names: str) -> str:
    """Return which of the names have a value; those that have none get one for no time at all."""
    found: list[str] = []
    for name in names:
        keys.claim("1", name, b"", 0.0, lambda value, name=name: found.append(name if value else ""))  # type: ignore[misc]
    return "".join(found)


def test_the_keys_put_there_longest_ago_go_when_they_come_to_too_many_bytes() -> None:
    keys = MemoryKeys(FakeLoop().clock, max_bytes=5000)
    for name in "abcda":
        keys.put("1", name, b"x" * 1000, 60.0)
    assert known(keys, *"abcd") == "acd"


def test_a_value_that_is_too_large_is_not_kept_and_costs_no_room() -> None:
    keys = MemoryKeys(FakeLoop().clock, max_bytes=5000)
    keys.put("1", "a", b"x" * 6000, 60.0)
    assert known(keys, "a") == ""
    keys.put("1", "b", b"x" * 4000, 60.0)
    assert known(keys, "b") == "b"


def test_what_is_over_makes_room_before_anything_else_has_to_go() -> None:
    loop = FakeLoop()
    keys = MemoryKeys(loop.clock, max_bytes=1 << 20)
    for number in range(1000):
        keys.put("1", str(number), b"x", 10.0)
    loop.now += 10.0
    keys.put("1", "a", b"x", 10.0)
    assert len(keys) == 1


def test_a_key_that_is_removed_takes_no_room() -> None:
    keys = MemoryKeys(FakeLoop().clock, max_bytes=5000)
    for _ in range(100):
        keys.put("1", "a", b"x" * 4000, 60.0)
        keys.remove("1", "a")
    keys.put("1", "b", b"x" * 4000, 60.0)
    assert known(keys, "a", "b") == "b"
