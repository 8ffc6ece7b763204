"""Which drivers a configuration asks for. Each is imported inside its ``case``, so unused ones cost nothing."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from sockudo_py.adapters.base import Adapter
from sockudo_py.apps.base import AppManager
from sockudo_py.apps.definition import app_reader, define_apps, define_operators, longest_wait, row_reader
from sockudo_py.caches.base import Cache, IdempotencyKeys
from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.management.credentials.keys import Admin
from sockudo_py.metrics import Metrics
from sockudo_py.process.descriptors import Descriptors
from sockudo_py.process.memory import memory_share
from sockudo_py.process.watermarks import Watermark, Watermarks
from sockudo_py.queues.base import Queue
from sockudo_py.relays.base import Relay
from sockudo_py.relays.board import Board
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.webhooks.delivery.breaker import BreakerSettings
from sockudo_py.webhooks.delivery.health import HealthSettings
from sockudo_py.webhooks.delivery.worker import WorkerSettings
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.endpoints.validation import EndpointRules, endpoint_problems
from sockudo_py.webhooks.feeds.feeds import FeedSettings
from sockudo_py.webhooks.service import DeliverySettings
from sockudo_py.webhooks.spool.memory import SpoolLimits
from sockudo_py.webhooks.targets.aws_lambda import LambdaInvoker
from sockudo_py.webhooks.targets.base import Target
from sockudo_py.webhooks.targets.http.oauth import ANSWER_BYTES
from sockudo_py.webhooks.targets.http.target import HttpTarget
from sockudo_py.wiring.key_file import KeyFile, key_file
from sockudo_py.wiring.redis_address import address_of_driver, address_problems, keys_of_driver
from sockudo_py.wiring.shared_redis import SharedRedis
from sockudo_py.wiring.tls import certificate_problems, webhook_context

if TYPE_CHECKING:
    from sockudo_py.links.sqlite import SqliteFile

log = logging.getLogger(__name__)


def install(extra: str) -> str:
    """Return the command that installs an extra of the package."""
    return f"{sys.executable} -m pip install 'sockudo-py[{extra}]' (in a clone: '.[{extra}]')"


INSTALL_AWS = install("aws")


def has_aws() -> bool:
    """Return whether the packages of the extra ``aws`` are there. It imports none of them."""
    return find_spec("boto3") is not None


def missing_driver(config: Config) -> str | None:
    """Return a line about the package that ``app_manager.driver`` needs and that is not installed; else None."""
    driver = config.app_manager.driver
    package, extra = _PACKAGES.get(driver, ("", ""))
    if not package or find_spec(package) is not None:
        return None
    text = f"{driver}: {package} is not installed"
    return config.problem("app_manager.driver", text, f"install it: {install(extra)}")


# By driver of app_manager: what it imports, and the extra that has it.
_PACKAGES = {"postgres": ("asyncpg", "postgres"), "mysql": ("asyncmy", "mysql"), "dynamodb": ("boto3", "aws")}


def refuse_unbuilt(config: Config) -> None:
    """Raise ConfigError naming every option whose feature this version doesn't have: nothing is ignored silently."""
    problems = address_problems(config)
    if config.queue.driver == "sqs" and not has_aws():
        problems.append(config.problem("queue.driver", "sqs: boto3 is not installed", f"install it: {INSTALL_AWS}"))
    if line := missing_driver(config):
        problems.append(line)
    if config.queue.driver == "sqs" and config.queue.sqs.fifo:
        problems.append(config.problem("queue.sqs.fifo", "true: this version can't do that yet", "write false"))
    if problems:
        raise ConfigError(problems)


def admins(config: Config, key_file: KeyFile | None) -> list[Admin]:
    """Return the keys of ``webhooks.admin.api_keys``, and the one of the file."""
    own = [] if key_file is None else [key_file.admin]
    return own + [
        Admin(
            bytes.fromhex(key.sha256.get_secret_value()),
            frozenset(key.apps),
            frozenset(key.scopes),
            key.name or f"key {number}",
        )
        for number, key in enumerate(config.webhooks.admin.api_keys, 1)
    ]


def admin_key_file(config: Config) -> KeyFile | None:
    """Return the key in ``webhooks.admin.key_file``, which is made when missing. Raises ConfigError."""
    path = config.webhooks.admin.key_file
    if path is None or not config.webhooks.admin.enabled:
        return None
    return key_file(Path(path), f"webhooks.admin.key_file{config.named('webhooks.admin.key_file')}")


def admin_limit(config: Config) -> RequestLimit | None:
    """Return how much each admin key may ask; None: any number."""
    limit = config.webhooks.admin.rate_limit.per_minute
    return None if limit is None else RequestLimit(limit)


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
        settings.prefix,
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

            return RedisRelay(shared.of("adapter"), f"{config.adapter.redis.prefix}{{http}}:")
        case _:
            assert_never(config.adapter.driver)


def make_board(config: Config, shared: SharedRedis) -> Board | None:
    """Return what the dashboards of several nodes speak through; None where there is one node."""
    match config.adapter.driver:
        case "local":
            return None
        case "redis":
            from sockudo_py.relays.redis_board import RedisBoard

            return RedisBoard(shared.of("adapter"), f"{config.adapter.redis.prefix}{{board}}:")
        case _:
            assert_never(config.adapter.driver)


def store_driver(config: Config) -> Literal["memory", "sqlite", "redis"]:
    """Return where endpoints are kept: with the queue, and with SQS as ``queue.sqs.store`` says."""
    driver = config.queue.driver
    if driver == "sqs":
        return config.queue.sqs.store
    return "memory" if driver == "none" else driver


def make_endpoint_store(config: Config, metrics: Metrics, file: "SqliteFile | None") -> EndpointStore:
    """Return the store of endpoints, not open yet. ``file``: as ``sqlite_file`` returns it."""
    match store_driver(config):
        case "memory":
            from sockudo_py.stores.endpoints.memory import MemoryEndpoints

            return MemoryEndpoints()
        case "sqlite":
            from sockudo_py.stores.endpoints.sqlite import SqliteEndpoints

            if file is None:
                raise RuntimeError("there is a file where something is kept in SQLite")
            return SqliteEndpoints(file)
        case "redis":
            from sockudo_py.links.redis.link import RedisLink
            from sockudo_py.queues.metrics import QueueMetrics
            from sockudo_py.stores.endpoints.redis import RedisEndpoints

            link = RedisLink(
                address_of_driver(config, "queue"),
                owner="endpoint store",
                keys=keys_of_driver(config, "queue"),
                prefix=config.queue.redis.key_prefix,
                max_connections=3,
                response_timeout=config.queue.redis.response_timeout_ms / 1000,
                errors=QueueMetrics(metrics).store_errors,
            )
            return RedisEndpoints(link, config.queue.redis.key_prefix, replicas=config.queue.reliability.wait_replicas)


def sqlite_file(config: Config) -> "SqliteFile | None":
    """Return the file ``queue.sqlite.path``, which several drivers share; None: none uses it."""
    if config.queue.driver != "sqlite" and store_driver(config) != "sqlite":
        return None
    from sockudo_py.links.sqlite import SqliteFile

    queue = config.queue.sqlite
    return SqliteFile(Path(queue.path), key="queue.sqlite.path", sync=queue.sync)


def make_queue(config: Config, metrics: Metrics, file: "SqliteFile | None" = None) -> Queue:
    """Return the queue of ``queue.driver``, not open yet. ``file``: that of SQLite, where others use it, too."""
    queue, reliability, delivery = config.queue, config.queue.reliability, config.webhooks.delivery
    slots = queue.concurrency * reliability.worker_prefetch
    match queue.driver:
        case "memory" | "none":  # none: nothing is ever put into it
            from sockudo_py.queues.local.queue import MemoryQueue

            return MemoryQueue(
                metrics=metrics,
                slots=slots,
                probation_share=delivery.probation_share,
                max_queue_len=reliability.memory_capacity,
                failed_max_len=config.webhooks.dlq.max_len or reliability.memory_capacity,
                max_crash_redeliveries=reliability.max_crash_redeliveries,
                dedup_ttl=reliability.deduplication_ttl_ms / 1000,
            )
        case "redis":
            from sockudo_py.queues.redis.queue import RedisQueue

            return RedisQueue(
                address_of_driver(config, "queue"),
                keys=keys_of_driver(config, "queue"),
                prefix=queue.redis.key_prefix,
                response_timeout=queue.redis.response_timeout_ms / 1000,
                metrics=metrics,
                slots=slots,
                probation_share=delivery.probation_share,
                max_queue_len=reliability.max_queue_len,
                failed_max_len=config.webhooks.dlq.max_len,
                max_crash_redeliveries=reliability.max_crash_redeliveries,
                dedup_ttl=reliability.deduplication_ttl_ms / 1000,
                longest_wait=longest_wait(config),
                wait_replicas=reliability.wait_replicas,
                server_id=config.server_id or f"{socket.gethostname()}:{config.port}",
                shares_clients=config.adapter.driver != "local",
            )
        case "sqlite":
            from sockudo_py.queues.sqlite.queue import SqliteQueue

            return SqliteQueue(
                file or Path(queue.sqlite.path),
                sync=queue.sqlite.sync,
                metrics=metrics,
                slots=slots,
                probation_share=delivery.probation_share,
                max_queue_len=reliability.max_queue_len,
                failed_max_len=config.webhooks.dlq.max_len,
                max_crash_redeliveries=reliability.max_crash_redeliveries,
                dedup_ttl=reliability.deduplication_ttl_ms / 1000,
                longest_wait=longest_wait(config),
            )
        case "sqs":
            from sockudo_py.queues.sqs.queue import SqsQueue

            return SqsQueue(
                region=queue.sqs.region,
                endpoint_url=queue.sqs.endpoint_url,
                queue_url_prefix=queue.sqs.queue_url_prefix,
                visibility_timeout=queue.sqs.visibility_timeout,
                max_messages=queue.sqs.max_messages,
                wait_time=queue.sqs.wait_time_seconds,
                metrics=metrics,
                slots=slots,
                probation_share=delivery.probation_share,
                failed_max_len=config.webhooks.dlq.max_len,
                max_crash_redeliveries=reliability.max_crash_redeliveries,
                dedup_ttl=reliability.deduplication_ttl_ms / 1000,
                longest_wait=longest_wait(config),
            )
        case _:
            assert_never(queue.driver)


_NO_FEEDS = "SQS can't serve the events of one endpoint in order; set queue.driver to sqlite or redis"


def endpoint_rules(config: Config) -> EndpointRules:
    """Return what endpoints may be, for ``start`` and ``check-config`` alike."""
    security = config.webhooks.security
    return EndpointRules(
        require_https=security.require_https,
        allowed_ports=security.allowed_ports,
        max_headers=security.max_custom_headers,
        max_header_value_bytes=security.max_header_value_bytes,
        allowed_functions=frozenset(security.allowed_functions),
        feeds=_NO_FEEDS if config.queue.driver == "sqs" else None,
        functions=None if has_aws() else f"boto3 is not installed; install it: {INSTALL_AWS}",
    )


def make_apps(config: Config, rules: EndpointRules, metrics: Metrics) -> AppManager:
    """Return the app manager of ``app_manager.driver``."""

    def check(endpoint: Endpoint) -> Sequence[str]:
        return [*endpoint_problems(endpoint, rules), *certificate_problems(endpoint)]

    match config.app_manager.driver:
        case "memory" | "array":
            from sockudo_py.apps.config import ConfigApps

            return ConfigApps(define_apps(config, check))
        case "file":
            from sockudo_py.apps.file import FileApps

            folder = config.app_manager.file
            if folder.path is None:
                raise ConfigError(["app_manager.file.path: is missing; name the folder with the apps' files"])
            read = app_reader(config, os.environ, check, log.warning)
            return FileApps(
                Path(folder.path),
                read,
                interval=folder.poll_interval,
                watch=folder.reload,
                named=config.named("app_manager.file.path"),
            )
        case "postgres" | "mysql" | "dynamodb":
            from sockudo_py.wiring.databases import database_apps

            return database_apps(config, row_reader(config, check), metrics)
        case _:
            assert_never(config.app_manager.driver)


def make_operators(config: Config, rules: EndpointRules) -> tuple[Endpoint, ...]:
    """Return the endpoints of ``webhooks.operators``. Raises ConfigError."""

    def check(endpoint: Endpoint) -> Sequence[str]:
        return [*endpoint_problems(endpoint, rules), *certificate_problems(endpoint)]

    return define_operators(config, check)


def make_targets(config: Config, metrics: Metrics, descriptors: Descriptors | None = None) -> dict[str, Target]:
    """Return the webhook targets by name. ``descriptors`` bound the connections that are kept open."""
    security, delivery = config.webhooks.security, config.webhooks.delivery
    bounds: dict[str, Any] = {}
    if descriptors is not None:
        bounds = {"most_idle": descriptors.idle_requests, "on_shortage": partial(descriptors.short, "request")}
    denied = [ip_network(cidr) for cidr in security.denied_cidrs]

    def http(response_bytes: int, tokens: HttpTarget | None = None) -> HttpTarget:
        return HttpTarget(
            guard=AddressGuard(
                allow_private=security.allow_private_networks,
                allowed=[ip_network(cidr) for cidr in security.allowed_cidrs],
                denied=denied,
            ),
            trusted_guard=AddressGuard(allow_private=True, denied=denied),
            response_bytes=response_bytes,
            make_tls=(lambda: webhook_context(config)) if security.ca_bundle else None,
            proxy=security.egress_proxy.get_secret_value() if security.egress_proxy else None,
            tokens=tokens,
            **bounds,
        )

    if security.ca_bundle:
        webhook_context(config)  # raises what is wrong with it
    return {
        "http": http(delivery.response_body_bytes, http(ANSWER_BYTES)),
        "lambda": LambdaInvoker(metrics=metrics, response_bytes=delivery.response_body_bytes),
    }


def make_watermarks(config: Config, metrics: Metrics) -> Watermarks | None:
    """Return the watermarks of the configuration, None when there are none."""
    marks = config.watermarks
    connections = None if marks.connections_high is None else Watermark(marks.connections_high, marks.connections_low)
    memory = None if marks.memory_high is None else Watermark(marks.memory_high, marks.memory_low)
    if connections is None and memory is None:
        return None
    return Watermarks(connections=connections, memory=memory, share=memory_share, metrics=metrics)


def spool_path(config: Config) -> Path | None:
    """Return where events go at shutdown that the queue has not taken; None: nowhere."""
    if config.webhooks.spool.path is not None:
        return Path(config.webhooks.spool.path)
    if config.queue.driver == "sqlite":  # there is a folder that may be written to, on a disk that is kept
        return Path(f"{config.queue.sqlite.path}.spool")
    return None


def admin_socket_path(config: Config) -> Path | None:
    """Return the socket on which ``sockudo-py webhooks`` asks the running server; None: there is none."""
    if config.webhooks.admin.socket is not None:
        return Path(config.webhooks.admin.socket)
    if config.queue.driver == "sqlite":
        return Path(f"{config.queue.sqlite.path}.sock")
    return None


def _feed_settings(config: Config) -> FeedSettings:
    reliability = config.queue.reliability
    room = reliability.memory_capacity if config.queue.driver == "memory" else reliability.max_queue_len
    return FeedSettings(
        lease=reliability.lease_duration_ms / 1000,
        # Redis is asked each time, and others may have added something; elsewhere it is a look into this process.
        poll=0.05 if config.queue.driver == "redis" else 0.02,
        most=max(1, room // 4),  # the queue refuses events of a lane that holds half of it
    )


def delivery_settings(config: Config, rules: EndpointRules) -> DeliverySettings:
    """Return what the configuration says about delivery, in seconds."""
    webhooks, reliability = config.webhooks, config.queue.reliability
    spool, breaker, disable = webhooks.spool, webhooks.circuit_breaker, webhooks.auto_disable
    return DeliverySettings(
        worker=WorkerSettings(
            slots=config.queue.concurrency * reliability.worker_prefetch,
            lease=reliability.lease_duration_ms / 1000,
            renew_interval=reliability.lease_renew_interval_ms / 1000,
            poll_interval=reliability.worker_poll_interval_ms / 1000,
            max_payload_bytes=webhooks.security.max_payload_bytes,
            deliveries_per_window=webhooks.delivery.global_rate,
            rate_window=webhooks.delivery.global_rate_window_ms / 1000,
        ),
        spool=SpoolLimits(spool.max_events, spool.max_bytes, spool_path(config)),
        rules=rules,
        health=HealthSettings(
            BreakerSettings(breaker.consecutive_failures, breaker.open_ms / 1000, breaker.max_open_ms / 1000)
            if breaker.enabled
            else None,
            disable.failing_for_s if disable.enabled else None,
        ),
        feeds=_feed_settings(config),
        history=webhooks.delivery.history,
        slow_start=webhooks.delivery.slow_start,
        reconnect_grace=max(webhooks.reconnect_grace_ms, webhooks.vacate_delay_ms) / 1000,
        shutdown_timeout=reliability.shutdown_timeout_ms / 1000,
        warn_dead_letters=webhooks.dlq.warn_len,
    )
