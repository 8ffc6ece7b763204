"""The queue of webhooks and the store of endpoints. Each is imported inside its ``case``: unused ones cost nothing."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

from sockudo_py.apps.definition import longest_wait
from sockudo_py.config import Config
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Queue
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.wiring.drivers.redis_address import address_of_driver, keys_of_driver

if TYPE_CHECKING:
    from sockudo_py.links.sqlite import SqliteFile


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


def spool_path(config: Config) -> Path | None:
    """Return where events go at shutdown that the queue has not taken; None: nowhere."""
    if config.webhooks.spool.path is not None:
        return Path(config.webhooks.spool.path)
    if config.queue.driver == "sqlite":  # there is a folder that may be written to, on a disk that is kept
        return Path(f"{config.queue.sqlite.path}.spool")
    return None
