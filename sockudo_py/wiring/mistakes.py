"""Mistakes in a configuration, and failures of what it names: reported with keys and environment variables."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sockudo_py.config import Config
from sockudo_py.errors import ConfigError, SockudoError

_REDIS_KEYS = tuple(
    f"database.redis.{key}"
    for key in ("url", "host", "port", "db", "username", "password", "sentinels", "name", "cluster.nodes")
)
ADAPTER_KEYS: Mapping[str, tuple[str, ...]] = {"local": (), "redis": _REDIS_KEYS}
QUEUE_KEYS: Mapping[str, tuple[str, ...]] = {
    "memory": (),
    "none": (),
    "sqlite": ("queue.sqlite.path",),
    "redis": _REDIS_KEYS,
    "sqs": ("queue.sqs.region", "queue.sqs.endpoint_url"),
}


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
