"""Keys without effect. They are accepted, with a warning.

``UNUSED``: keys of Sockudo that this server has no use for; other unknown keys are errors. ``[]`` stands for every
entry of a list. ``HARMLESS_WHEN_BLANK`` holds keys that an operator relies on when they are set, so they are accepted
only without a value (null, false, empty). ``NOT_YET``: keys of this server, checked like all others, whose feature it
does not have yet; a test finds those that are missing here and those that should be here no longer.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_APP = "app_manager.array.apps[]."
KEYS_ALWAYS_WORK = "idempotency keys work in every app, and are remembered for 5 minutes"
PINGED = "ping_interval at the top level says when a silent client is pinged, pong_timeout when it is closed"

UNUSED: tuple[str, ...] = (
    # features of Sockudo's own protocol and of its push service
    "ably_compat",
    "ai_transport",
    "annotations",
    "connection_recovery",
    "delta_compression",
    "echo_control",
    "ephemeral",
    "event_name_filtering",
    "history",
    "idempotency",
    "mcp",
    "opentelemetry",
    "presence_history",
    "push",
    "push_rules",
    "recovery",
    "tag_filtering",
    "versioned_messages",
    # its inner workings
    "cleanup",
    "cluster_health",
    "database_pooling",
    "health_check_timeout_ms",
    "instance",
    "adapter.aggregate_counts",
    "adapter.buffer_multiplier_per_cpu",
    "adapter.enable_socket_counting",
    "adapter.fallback_to_local",
    "adapter.fast_presence_transitions",
    "adapter.redis.redis_pub_options",
    "adapter.redis.redis_sub_options",
    "app_manager.cache",
    "cache.memory.cleanup_interval",
    "cache.memory.ttl",
    "http_api.accept_traffic",
    "metrics.tcp_exporter",
    "presence.ungraceful_timeout_seconds",
    "presence.update_rate_limit_per_member_per_second",
    "presence.v2_ungraceful_timeout_seconds",
    "queue.reliability.completed_retention",
    "queue.reliability.event_retention",
    "queue.reliability.failed_retention",
    "queue.reliability.max_attempts",
    "queue.reliability.max_batch_size",
    "queue.reliability.retry_base_delay_ms",
    "queue.reliability.retry_jitter",
    "queue.reliability.retry_max_delay_ms",
    "rate_limiter.api_rate_limit.identifier",
    "rate_limiter.limits",
    "rate_limiter.websocket_rate_limit.identifier",
    "ssl.http_port",
    "websocket.auto_ping",
    "websocket.disconnect_on_buffer_full",
    "websocket.idle_timeout",
    "websocket.max_backpressure",
    "websocket.max_frame_size",
    "websocket.max_message_size",
    "websocket.max_messages",
    "websocket.ping_interval",
    "websocket.write_buffer_size",
    # drivers that are not here
    "adapter.cluster",
    "adapter.google_pubsub",
    "adapter.iggy",
    "adapter.kafka",
    "adapter.nats",
    "adapter.omq",
    "adapter.pulsar",
    "adapter.rabbitmq",
    "app_manager.scylladb",
    "database.mysql.cache_cleanup_interval",
    "database.mysql.cache_max_capacity",
    "database.mysql.cache_ttl",
    "database.mysql.connection_pool_size",
    "database.mysql.pool_max",
    "database.mysql.pool_min",
    "database.postgres.cache_cleanup_interval",
    "database.postgres.cache_max_capacity",
    "database.postgres.cache_ttl",
    "database.postgres.connection_pool_size",
    "database.postgres.pool_max",
    "database.postgres.pool_min",
    "database.redis.key_prefix",  # each driver has its own
    "database.scylladb",
    "database.surrealdb",
    "queue.google_pubsub",
    "queue.iggy",
    "queue.kafka",
    "queue.nats",
    "queue.omq",
    "queue.pulsar",
    "queue.rabbitmq",
    "queue.redis_cluster",
    "queue.sns",
    # of an app
    _APP + "annotations_enabled",
    _APP + "channel_delta_compression",
    _APP + "channel_namespaces",
    _APP + "connection_recovery",
    _APP + "decay_seconds",
    _APP + "history",
    _APP + "idempotency",
    _APP + "message_rate_limit",
    _APP + "presence_history",
    _APP + "terminate_on_limit",
    _APP + "webhooks[].lambda.client_options",
    # what soketi finds out by itself
    _APP + "hasClientEventWebhooks",
    _APP + "hasChannelOccupiedWebhooks",
    _APP + "hasChannelVacatedWebhooks",
    _APP + "hasMemberAddedWebhooks",
    _APP + "hasMemberRemovedWebhooks",
    _APP + "hasCacheMissWebhooks",
)

# What the server does instead, for keys that somebody may rely on.
INSTEAD: Mapping[str, str] = {
    "idempotency": KEYS_ALWAYS_WORK,
    _APP + "idempotency": KEYS_ALWAYS_WORK,
    "cache.memory.ttl": "channel_limits.cache_ttl says how long",
    "queue.reliability.max_attempts": "webhooks.retry says how often",
    "websocket.auto_ping": PINGED,
    "websocket.idle_timeout": PINGED,
    "websocket.ping_interval": PINGED,
}

HARMLESS_WHEN_BLANK: Mapping[str, str] = {
    "server_role": "write default: every server is a whole one",
    "ssl.ca_path": "leave it out, and check client certificates in a proxy",
    "ssl.redirect_http": "write false, and redirect in a proxy",
}

# Keys (with everything below them) and what to expect instead.
NOT_YET: Mapping[str, str] = {
    "adapter.cluster_health.cleanup_interval_ms": "nodes look for dead ones with each heartbeat",
    "adapter.cluster_health.enabled": "nodes always clean up after those that died",
    "queue.reliability.stalled_batch_size": "each queue driver has its own bound",
    "queue.sqs.message_group_id": "FIFO queues are not supported yet",
}


def is_blank(value: Any) -> bool:
    """Return whether a value asks for nothing: null, empty, false, or Sockudo's word ``default``."""
    if isinstance(value, dict):
        return all(is_blank(item) for item in value.values())
    if isinstance(value, str):
        return value.lower() in ("", "default", "false", "0", "no", "off", "none", "null", "[]", "{}")
    return not value


def without_effect(what: str, found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield warnings about names, each with its replacement or "". ``what`` describes the names."""
    names: dict[str, list[str]] = {}
    for name, instead in found:
        names.setdefault(instead, []).append(name)
    if plain := names.pop("", None):
        yield f"these {what} have no effect here: {', '.join(plain)}"
    for instead, those in names.items():
        yield f"no effect here: {', '.join(those)}; {instead}"


def has_no_effect_yet(place: str) -> bool:
    """Return whether the key at a dotted place, or a section that it lies in, is in ``NOT_YET``."""
    return any(f"{place}.".startswith(f"{key}.") for key in NOT_YET)
