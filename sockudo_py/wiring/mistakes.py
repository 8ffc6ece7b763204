"""Mistakes in a configuration, and failures of what it names: reported with keys and environment variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from sockudo_py.config import Config
from sockudo_py.config.sections.drivers import AdapterDriver, QueueDriver
from sockudo_py.errors import ConfigError, SockudoError

_REDIS_KEYS = tuple(
    f"database.redis.{key}"
    for key in ("url", "host", "port", "db", "username", "password", "sentinels", "name", "cluster.nodes")
)


def keys_of_adapter(driver: AdapterDriver) -> tuple[str, ...]:
    """Return the keys that say where an adapter's service is."""
    match driver:
        case "local":
            return ()
        case "redis":
            return _REDIS_KEYS
        case _:
            assert_never(driver)


def keys_of_queue(driver: QueueDriver) -> tuple[str, ...]:
    """Return the keys that say where a queue is."""
    match driver:
        case "memory" | "none":
            return ()
        case "sqlite":
            return ("queue.sqlite.path",)
        case "redis":
            return _REDIS_KEYS
        case "sqs":
            return ("queue.sqs.region", "queue.sqs.endpoint_url")
        case _:
            assert_never(driver)


@contextmanager
def gathered(problems: list[str]) -> Iterator[None]:
    """Note the mistakes of a step instead of raising them: the start reports all of them together."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


@contextmanager
def naming(config: Config, *keys: str) -> Iterator[None]:
    """Let an error of a step name the environment variables that gave the values of its keys."""
    try:
        yield
    except ConfigError:
        raise
    except SockudoError as error:
        raise SockudoError(f"{error}{config.named(*keys)}") from error
