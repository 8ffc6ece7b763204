"""Warnings about what the nodes of a cluster don't share."""

import pytest

from tests.unit.config.conftest import Load, app, with_apps

HOOK = {"url": "https://e.com/"}


def warnings(read: Load, **settings: object) -> list[str]:
    document = {"host": "127.0.0.1", **with_apps(app(webhooks=[HOOK])), "adapter": {"driver": "redis"}, **settings}
    return [line for line in read(document).warnings if "driver: is" in line]


@pytest.mark.parametrize(
    ("queue", "words"), [("memory", "is lost"), ("sqlite", "started again"), ("sqs", "not recognised as the same")]
)
def test_a_queue_of_each_node_is_warned_of(queue: str, words: str, read: Load) -> None:
    (line,) = warnings(read, queue={"driver": queue}, cache={"driver": "redis"})
    assert words in line


def test_a_cache_and_limits_of_each_node_are_warned_of(read: Load) -> None:
    limits = {"enabled": True, "websocket_rate_limit": {"max_requests": 100}}
    lines = warnings(read, queue={"driver": "redis"}, rate_limiter=limits)
    assert [line.split(": ")[1] for line in lines] == ["cache.driver", "rate_limiter.driver"]


def test_a_lone_node_is_not_warned_of_what_it_shares_with_nobody(read: Load) -> None:
    assert warnings(read, adapter={"driver": "local"}, queue={"driver": "memory"}) == []
