"""How the Redis driver says things to its scripts. Pure."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sockudo_py.queues.base import DeadLetters, LanePolicy

CHUNK = 500  # events or policies in one script call; far below what Lua's unpack takes

Item = TypeVar("Item")


def packed(policy: LanePolicy) -> str:
    """Return a policy as the scripts read it."""
    numbers = (
        round(policy.window * 1000),
        max(1, policy.size),
        policy.max_bytes,
        max(1, policy.max_in_flight),
        int(policy.slow_start),
        int(policy.ordered),
        policy.per_second or 0,
        policy.per_minute or 0,
        policy.per_hour or 0,
    )
    return " ".join(map(str, numbers))


def chosen(which: DeadLetters) -> list[str]:
    """Return which dead jobs are meant as ``queue_chosen.lua`` reads it."""
    text = [which.endpoint, which.app_id, which.since_ms, which.until_ms, which.error_class]
    words = ["*" if word is None else f"={word}" for word in text]
    return [*words, "*"] if which.ids is None else [*words, "=", *sorted(which.ids)]


def tagged(prefix: str) -> bool:
    """Return whether all keys with this prefix are in one slot of a cluster."""
    start = prefix.find("{")
    return start >= 0 and prefix.find("}", start) > start + 1


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield as many at a time as one call takes."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
