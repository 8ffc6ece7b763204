"""What docs/cluster.md says about Redis holds at a real one."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import blocks, page, section
from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.management import ask, made, managed
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.server import TestApp, app_config, running, server_config

PASSWORD = "password-of-the-user"


def acl() -> list[str]:
    """Return the words of the command that makes the user, as the page has it."""
    lines = [line for line in blocks(section(page("cluster.md"), "Redis"), "") if line.startswith("ACL SETUSER")]
    assert len(lines) == 1
    return lines[0].replace("PASSWORD", PASSWORD).split()


async def test_the_user_of_the_page_may_do_all_that_a_node_does(private_redis: RedisServer, tmp_path: Path) -> None:
    words = acl()
    private_redis.cli(*words)
    private_redis.cli("ACL", "LOG", "RESET")
    redis = {"host": "127.0.0.1", "port": private_redis.port, "username": words[2], "password": PASSWORD}
    shared = {part: {"driver": "redis"} for part in ("adapter", "cache", "rate_limiter", "queue")}
    config = server_config(app_config(TestApp()), database={"redis": redis}, webhooks=managed(), **shared)
    with HookReceiver() as receiver, running(config, tmp_path / "a") as one, running(config, tmp_path / "b") as other:
        hook = made(one, f"{receiver.url}/acl", event_types=["channel_occupied", "client_event"])
        await eventually(
            lambda: len(ask(other, "GET", "/api/webhooks").json["webhooks"]) == 1, "the other node knows it"
        )
        async with connected(other, TestApp()) as client:
            await client.subscribe("c1")
            await eventually(lambda: len(receiver.hooks("/acl")) == 1, "the delivery")
        assert ask(other, "PATCH", f"/api/webhooks/{hook['uid']}", {"name": "changed"}).status == 200
        assert ask(one, "DELETE", f"/api/webhooks/{hook['uid']}").status == 204
    assert private_redis.cli("ACL", "LOG") == []  # of commands, keys and channels that were refused


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("SET", "sockudo_queue:endpoints"),
        ("SET", "{sockudo_queue}:endpoints"),  # the queue's prefix in a Redis Cluster
        ("SET", "sockudo_adapter:{7}:meta"),
        ("SET", "sockudo_cache:x"),
        ("SET", "sockudo_rl:x"),
        ("PUBLISH", "sockudo_adapter:{7}:ch:1"),
        ("SPUBLISH", "sockudo_adapter:{board}:x"),
    ],
)
def test_the_user_of_the_page_reaches_the_keys_of_every_driver(
    private_redis: RedisServer, command: str, name: str
) -> None:
    words = acl()
    private_redis.cli(*words, *(word.replace("`", "") for word in re.findall(r"`~\{\S+`", page("cluster.md"))))
    assert private_redis.cli("ACL", "DRYRUN", words[2], command, name, "1") == b"OK"
