from sockudo_py.caches.base import CachedEvent
from sockudo_py.caches.none import NoCache
from sockudo_py.errors import Unavailable


def test_nothing_is_remembered() -> None:
    cache, answers = NoCache(), list[CachedEvent | Unavailable | None]()
    cache.store("1", "cache-a", b"x", 60.0)
    cache.fetch("1", "cache-a", answers.append)
    assert answers == [None]
