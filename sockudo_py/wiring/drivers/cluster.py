"""The drivers that the nodes of a cluster share: adapter, cache, rate limiter, relay and board.

Each is imported inside its ``case``, so unused ones cost nothing.
"""

import asyncio
import time
from typing import assert_never

from sockudo_py.adapters.base import Adapter
from sockudo_py.caches.base import Cache, IdempotencyKeys
from sockudo_py.config import Config
from sockudo_py.limits.base import RateLimiter
from sockudo_py.metrics import Metrics
from sockudo_py.relays.base import Relay
from sockudo_py.relays.board import Board
from sockudo_py.wiring.drivers.redis_address import address_of_driver
from sockudo_py.wiring.drivers.shared_redis import SharedRedis


def make_adapter(config: Config, loop: asyncio.AbstractEventLoop, metrics: Metrics, shared: SharedRedis) -> Adapter:
    """Return the adapter of ``adapter.driver``."""
    match config.adapter.driver:
        case "local":
            from sockudo_py.adapters.local import LocalAdapter

            return LocalAdapter(config.webhooks.vacate_delay_ms / 1000, loop.call_later, loop.time)
        case "redis":
            return _redis_adapter(config, metrics, shared)
        case _:
            assert_never(config.adapter.driver)


def _adapter_prefix(config: Config) -> str:
    """Return what all keys and topics of the adapter begin with.

    The messages of one database of a Redis are heard in all of them, so the number of another one than 0 is part of it.
    """
    database = address_of_driver(config, "adapter").database
    return config.adapter.redis.prefix + (f"db{database}:" if database else "")


def _redis_adapter(config: Config, metrics: Metrics, shared: SharedRedis) -> Adapter:
    from sockudo_py.adapters.redis.adapter import RedisAdapter
    from sockudo_py.adapters.redis.figures import DELIVERY_BUCKETS, show
    from sockudo_py.adapters.redis.partition import Timing

    settings, health = config.adapter.redis, config.adapter.cluster_health
    heartbeat_ms = health.heartbeat_interval_ms or health.node_timeout_ms / 4
    delivery = metrics.histogram(
        "cluster_delivery_seconds",
        "Time from a publish on this node until a node has it from Redis, tried at each heartbeat",
        (),
        DELIVERY_BUCKETS,
    )
    adapter = RedisAdapter(
        shared.of("adapter"),
        _adapter_prefix(config),
        Timing(config.webhooks.vacate_delay_ms / 1000, health.node_timeout_ms / 1000, heartbeat_ms / 1000),
        partitions=settings.partitions if settings.cluster_mode else None,
        connections=lambda: {app_id: counters.connections for app_id, counters in metrics.apps.items()},
        delivered=lambda seconds: delivery.observe(value=seconds),
    )
    show(adapter.figures, metrics)
    return adapter


def _cache_partitions(config: Config) -> int | None:
    """Return the adapter's number: an event is stored where it is published, so that a joiner gets it once."""
    return config.adapter.redis.partitions if config.cache.redis.cluster_mode else None


def make_cache(config: Config, shared: SharedRedis) -> Cache:
    """Return the cache of ``cache.driver``."""
    match config.cache.driver:
        case "memory":
            from sockudo_py.caches.memory import MemoryCache

            return MemoryCache(time.monotonic, config.cache.memory.max_capacity)
        case "none":
            from sockudo_py.caches.none import NoCache

            return NoCache()
        case "redis":
            from sockudo_py.caches.redis import RedisCache

            return RedisCache(shared.of("cache"), config.cache.redis.prefix, partitions=_cache_partitions(config))
        case _:
            assert_never(config.cache.driver)


def make_keys(config: Config, shared: SharedRedis) -> IdempotencyKeys:
    """Return where idempotency keys are remembered: as ``cache.driver`` says, and in memory when that is ``none``."""
    match config.cache.driver:
        case "memory" | "none":
            from sockudo_py.caches.memory_keys import MemoryKeys

            return MemoryKeys(time.monotonic)
        case "redis":
            from sockudo_py.caches.redis import RedisKeys

            return RedisKeys(
                shared.of("cache"), f"{config.cache.redis.prefix}idem:", partitions=_cache_partitions(config)
            )
        case _:
            assert_never(config.cache.driver)


def make_limiter(config: Config, shared: SharedRedis) -> RateLimiter:
    """Return the rate limiter of ``rate_limiter.driver``."""
    match config.rate_limiter.driver:
        case "memory":
            from sockudo_py.limits.memory import MemoryRateLimiter

            return MemoryRateLimiter(time.monotonic)
        case "redis":
            from sockudo_py.limits.redis import RedisRateLimiter

            settings = config.rate_limiter.redis
            partitions = config.adapter.redis.partitions if settings.cluster_mode else None
            return RedisRateLimiter(shared.of("rate_limiter"), settings.prefix, time.monotonic, partitions=partitions)
        case _:
            assert_never(config.rate_limiter.driver)


def make_relay(config: Config, shared: SharedRedis) -> Relay | None:
    """Return what passes requests of HTTP transports on to other nodes; None where there are none."""
    match config.adapter.driver:
        case "local":
            return None
        case "redis":
            from sockudo_py.relays.redis import RedisRelay

            return RedisRelay(shared.of("adapter"), f"{_adapter_prefix(config)}{{http}}:")
        case _:
            assert_never(config.adapter.driver)


def make_board(config: Config, shared: SharedRedis) -> Board | None:
    """Return what the dashboards of several nodes speak through; None where there is one node."""
    match config.adapter.driver:
        case "local":
            return None
        case "redis":
            from sockudo_py.relays.redis_board import RedisBoard

            return RedisBoard(shared.of("adapter"), f"{_adapter_prefix(config)}{{board}}:")
        case _:
            assert_never(config.adapter.driver)
