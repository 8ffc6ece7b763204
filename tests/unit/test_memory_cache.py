"""What only the memory cache promises: its bound."""

from sockudo_py.caches.base import CachedEvent
from sockudo_py.caches.memory import MemoryCache
from tests.support.fake_loop import FakeLoop


def remembered(cache: MemoryCache) -> str:
    found: list[str] = []
    for channel in "abcd":
        cache.fetch("1", channel, lambda event, channel=channel: found.append(channel if event else ""))  # type: ignore[misc]
    return "".join(found)


def test_the_entry_stored_longest_ago_goes_when_the_cache_is_full() -> None:
    cache = MemoryCache(FakeLoop().clock, max_entries=2)
    for channel in ("a", "b", "a", "c"):
        cache.store("1", channel, b"x", 60.0)
    assert remembered(cache) == "ac"


def test_an_event_is_gone_at_the_very_end_of_its_time() -> None:
    loop = FakeLoop()
    cache = MemoryCache(loop.clock)
    cache.store("1", "a", b"x", 2.0)
    answers: list[object] = []
    loop.now += 1.5
    cache.fetch("1", "a", answers.append)
    loop.now += 0.5
    cache.fetch("1", "a", answers.append)
    assert answers == [CachedEvent(b"x", 0.5), None]
