"""Which history a configuration asks for. Each is imported inside its ``case``, so unused ones cost nothing."""

from pathlib import Path
from typing import assert_never

from sockudo_py.config import Config
from sockudo_py.management.deliveries.letters import Letters
from sockudo_py.management.deliveries.routes import Past
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Queue
from sockudo_py.queues.metrics import QueueMetrics
from sockudo_py.stores.history.base import Bounds, History
from sockudo_py.webhooks.history.reader import HistoryReader
from sockudo_py.webhooks.history.redelivery import Redelivery
from sockudo_py.webhooks.service import WebhookService
from sockudo_py.wiring.drivers.queues import store_driver
from sockudo_py.wiring.drivers.redis_address import address_of_driver, keys_of_driver

_CONNECTIONS = 3  # to Redis


def make_history(config: Config, metrics: Metrics) -> History | None:
    """Return the history of deliveries, not open yet: where endpoints are kept, too. None: there is none."""
    delivery, queue = config.webhooks.delivery, config.queue
    if not delivery.history or not config.sends_webhooks:
        return None
    bounds = Bounds(delivery.history, delivery.history_ttl_s * 1000, delivery.history_max_bytes)
    match driver := store_driver(config):
        case "memory":
            from sockudo_py.stores.history.memory import MemoryHistory

            return MemoryHistory(bounds)
        case "sqlite":
            from sockudo_py.stores.history.sqlite import SqliteHistory

            return SqliteHistory(Path(f"{queue.sqlite.path}.history"), bounds)
        case "redis":
            from sockudo_py.links.redis.link import RedisLink
            from sockudo_py.stores.history.redis import RedisHistory

            link = RedisLink(
                address_of_driver(config, "queue"),
                owner="history",
                keys=keys_of_driver(config, "queue"),
                prefix=queue.redis.key_prefix,
                max_connections=_CONNECTIONS,
                response_timeout=queue.redis.response_timeout_ms / 1000,
                errors=QueueMetrics(metrics).store_errors,
            )
            return RedisHistory(link, queue.redis.key_prefix, bounds)
        case _:
            assert_never(driver)


def make_past(history: History | None, webhooks: WebhookService, queue: Queue, letters: Letters) -> Past | None:
    """Return what the management routes need of a history; None: none is kept."""
    writer = webhooks.history
    if history is None or writer is None:
        return None
    redelivery = Redelivery(history, writer, queue, letters, webhooks.registry.by_uid)
    return Past(HistoryReader(history, writer), redelivery)
