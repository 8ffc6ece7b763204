"""Environment variables that override the file: the tables. `docs/configuration.md` is made from them.

`override` applies them; `foreign` has the variables of other servers that have no effect here.
"""

import re
from dataclasses import dataclass
from typing import Literal

# list: separated by commas; json: as in a file; nodes: one of both; switch_on: only a yes counts; milliseconds: of a
# key in seconds.
Kind = Literal["value", "list", "nodes", "switch_on", "milliseconds", "json"]

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")


_LINK = re.compile(r"(?i)(tcp|udp|sctp)://")
_NOTHING = ("null", "(null)")


def is_link(name: str, value: str) -> bool:
    """Return whether a variable is what Kubernetes and Docker set for a service of that name."""
    return name.endswith("PORT") and _LINK.match(value) is not None


def is_nothing(value: str) -> bool:
    """Return whether a value is the word by which the .env files of PHP frameworks say that there is none."""
    return value.strip().lower() in _NOTHING


@dataclass(frozen=True, slots=True)
class Override:
    """Variables (the first that is set and not empty counts), the keys they set, and the keys they ``drop``."""

    names: tuple[str, ...]
    keys: tuple[str, ...]
    kind: Kind = "value"
    drops: tuple[str, ...] = ()


def _row(names: str, keys: str, kind: Kind = "value", drops: str = "") -> Override:
    return Override(tuple(names.split()), tuple(keys.split()), kind, tuple(drops.split()))


OVERRIDES: tuple[Override, ...] = (
    _row("HOST SOKETI_HOST", "host"),
    _row("PORT SOKETI_PORT", "port"),
    _row("ENVIRONMENT", "mode"),
    _row("DEBUG_MODE SOKETI_DEBUG", "debug"),
    _row("DEBUG", "debug", "switch_on"),  # set to all sorts of things for other programs: only a yes counts
    _row("PATH_PREFIX SOKETI_PATH_PREFIX", "path_prefix"),
    _row("SOCKUDO_SERVER_ID", "server_id"),
    _row("WORKERS", "workers"),
    _row("SOKETI_SHUTDOWN_GRACE_PERIOD", "shutdown_grace_period", "milliseconds"),
    _row("DRAIN_DELAY", "drain_delay"),
    _row("SHUTDOWN_GRACE_PERIOD", "shutdown_grace_period"),
    _row("SOCKUDO_MAX_CONNECTIONS", "max_connections"),
    _row("SOKETI_HTTP_ACCEPT_TRAFFIC_MEMORY_THRESHOLD", "watermarks.memory_high"),
    _row("TRUSTED_PROXIES", "trusted_proxies", "list"),
    _row("ACTIVITY_TIMEOUT", "activity_timeout"),
    _row("PING_INTERVAL", "ping_interval"),
    _row("PONG_TIMEOUT", "pong_timeout"),
    _row("SOKETI_USER_AUTHENTICATION_TIMEOUT", "user_authentication_timeout", "milliseconds"),
    _row("USER_AUTHENTICATION_TIMEOUT", "user_authentication_timeout"),
    _row("SOCKUDO_SERVER_ROLE", "server_role"),
    _row("WEBSOCKET_MAX_PAYLOAD_KB", "websocket_max_payload_kb"),
    _row("WEBSOCKET_MAX_BYTES", "websocket.max_bytes"),
    _row("WEBSOCKET_COMPRESSION", "websocket.compression"),
    _row("HTTP_API_USAGE_ENABLED", "http_api.usage_enabled"),
    _row("LOG_LEVEL", "logging.level"),
    _row("LOG_OUTPUT_FORMAT", "logging.format"),
    _row("LOG_COLORS_ENABLED", "logging.colors_enabled"),
    _row("LOG_INCLUDE_TARGET", "logging.include_target"),
    _row("SSL_ENABLED", "ssl.enabled"),
    _row("SSL_CERT_PATH SOKETI_SSL_CERT", "ssl.cert_path"),
    _row("SSL_KEY_PATH SOKETI_SSL_KEY", "ssl.key_path"),
    _row("SSL_PASSPHRASE SOKETI_SSL_PASS", "ssl.passphrase"),
    _row("SOKETI_SSL_CA", "ssl.ca_path"),
    _row("SSL_REDIRECT_HTTP", "ssl.redirect_http"),
    _row("UNIX_SOCKET_ENABLED", "unix_socket.enabled"),
    _row("UNIX_SOCKET_PATH", "unix_socket.path"),
    _row("UNIX_SOCKET_PERMISSION_MODE", "unix_socket.permission_mode"),
    _row("CORS_ORIGINS", "cors.origin", "list"),
    _row("CORS_METHODS", "cors.methods", "list"),
    _row("CORS_HEADERS", "cors.allowed_headers", "list"),
    _row("CORS_CREDENTIALS", "cors.credentials"),
    _row("METRICS_ENABLED SOKETI_METRICS_ENABLED", "metrics.enabled"),
    _row("METRICS_DRIVER SOKETI_METRICS_DRIVER", "metrics.driver"),
    _row("METRICS_HOST SOKETI_METRICS_HOST", "metrics.host"),
    _row("METRICS_PORT SOKETI_METRICS_SERVER_PORT", "metrics.port"),
    _row("METRICS_PROMETHEUS_PREFIX SOKETI_METRICS_PROMETHEUS_PREFIX", "metrics.prometheus.prefix"),
    _row("ADAPTER_DRIVER SOKETI_ADAPTER_DRIVER", "adapter.driver"),
    _row("SOKETI_ADAPTER_REDIS_PREFIX", "adapter.redis.prefix"),
    _row("SOKETI_ADAPTER_REDIS_CLUSTER_MODE", "adapter.redis.cluster_mode"),
    _row("SOKETI_ADAPTER_REDIS_REQUESTS_TIMEOUT", "adapter.redis.response_timeout_ms"),
    _row("APP_MANAGER_DRIVER SOKETI_APP_MANAGER_DRIVER", "app_manager.driver"),
    _row("APP_MANAGER_FILE_PATH", "app_manager.file.path"),
    _row("CACHE_DRIVER SOKETI_CACHE_DRIVER", "cache.driver"),
    _row("CACHE_TTL_SECONDS SOKETI_CHANNEL_CACHE_TTL", "channel_limits.cache_ttl"),
    _row("CACHE_MAX_CAPACITY", "cache.memory.max_capacity"),
    _row("SOKETI_CACHE_REDIS_CLUSTER_MODE", "cache.redis.cluster_mode"),
    _row("SOKETI_CHANNEL_LIMITS_MAX_NAME_LENGTH", "channel_limits.max_name_length"),
    _row("SOKETI_EVENT_MAX_CHANNELS_AT_ONCE", "event_limits.max_channels_at_once"),
    _row("SOKETI_EVENT_MAX_NAME_LENGTH", "event_limits.max_name_length"),
    _row("SOKETI_EVENT_MAX_SIZE_IN_KB", "event_limits.max_payload_in_kb"),
    _row("SOKETI_EVENT_MAX_BATCH_SIZE", "event_limits.max_batch_size"),
    _row("SOKETI_PRESENCE_MAX_MEMBERS", "presence.max_members_per_channel"),
    _row("SOKETI_PRESENCE_MAX_MEMBER_SIZE", "presence.max_member_size_in_kb"),
    _row("QUEUE_DRIVER SOKETI_QUEUE_DRIVER", "queue.driver"),
    _row("QUEUE_SQLITE_PATH", "queue.sqlite.path"),
    _row("QUEUE_SQLITE_SYNC", "queue.sqlite.sync"),
    _row("QUEUE_REDIS_CONCURRENCY SOKETI_QUEUE_REDIS_CONCURRENCY", "queue.redis.concurrency"),
    _row("QUEUE_REDIS_PREFIX", "queue.redis.prefix"),
    _row("QUEUE_REDIS_RESPONSE_TIMEOUT_MS", "queue.redis.response_timeout_ms"),
    _row("SOKETI_QUEUE_REDIS_CLUSTER_MODE", "queue.redis.cluster_mode"),
    _row("QUEUE_SQS_REGION SOKETI_QUEUE_SQS_REGION", "queue.sqs.region"),
    _row("QUEUE_SQS_VISIBILITY_TIMEOUT", "queue.sqs.visibility_timeout"),
    _row("QUEUE_SQS_MAX_MESSAGES SOKETI_QUEUE_SQS_BATCH_SIZE", "queue.sqs.max_messages"),
    _row("SOKETI_QUEUE_SQS_POLLING_WAIT_TIME_MS", "queue.sqs.wait_time_seconds", "milliseconds"),
    _row("QUEUE_SQS_WAIT_TIME_SECONDS", "queue.sqs.wait_time_seconds"),
    _row("QUEUE_SQS_CONCURRENCY", "queue.sqs.concurrency"),
    _row("QUEUE_SQS_FIFO", "queue.sqs.fifo"),
    _row("QUEUE_SQS_ENDPOINT_URL SOKETI_QUEUE_SQS_ENDPOINT", "queue.sqs.endpoint_url"),
    _row("QUEUE_LEASE_DURATION_MS", "queue.reliability.lease_duration_ms"),
    _row("QUEUE_LEASE_RENEW_INTERVAL_MS", "queue.reliability.lease_renew_interval_ms"),
    _row("QUEUE_STALLED_BATCH_SIZE", "queue.reliability.stalled_batch_size"),
    _row("QUEUE_WORKER_POLL_INTERVAL_MS", "queue.reliability.worker_poll_interval_ms"),
    _row("QUEUE_WORKER_PREFETCH", "queue.reliability.worker_prefetch"),
    _row("QUEUE_SHUTDOWN_TIMEOUT_MS", "queue.reliability.shutdown_timeout_ms"),
    _row("QUEUE_DEDUPLICATION_TTL_MS", "queue.reliability.deduplication_ttl_ms"),
    _row("QUEUE_MEMORY_CAPACITY", "queue.reliability.memory_capacity"),
    _row("RATE_LIMITER_ENABLED", "rate_limiter.enabled"),
    _row("RATE_LIMITER_DRIVER SOKETI_RATE_LIMITER_DRIVER", "rate_limiter.driver"),
    _row("RATE_LIMITER_API_MAX_REQUESTS", "rate_limiter.api_rate_limit.max_requests"),
    _row("RATE_LIMITER_API_WINDOW_SECONDS", "rate_limiter.api_rate_limit.window_seconds"),
    _row("RATE_LIMITER_API_TRUST_HOPS", "rate_limiter.api_rate_limit.trust_hops"),
    _row("RATE_LIMITER_WS_MAX_REQUESTS", "rate_limiter.websocket_rate_limit.max_requests"),
    _row("RATE_LIMITER_WS_WINDOW_SECONDS", "rate_limiter.websocket_rate_limit.window_seconds"),
    _row("RATE_LIMITER_WS_TRUST_HOPS", "rate_limiter.websocket_rate_limit.trust_hops"),
    _row("SOKETI_RATE_LIMITER_REDIS_CLUSTER_MODE", "rate_limiter.redis.cluster_mode"),
    _row("RATE_LIMITER_REDIS_PREFIX", "rate_limiter.redis.prefix"),
    _row("REDIS_HOST DATABASE_REDIS_HOST SOKETI_DB_REDIS_HOST", "database.redis.host", drops="database.redis.url"),
    _row("REDIS_PORT DATABASE_REDIS_PORT SOKETI_DB_REDIS_PORT", "database.redis.port", drops="database.redis.url"),
    _row("REDIS_DB DATABASE_REDIS_DB SOKETI_DB_REDIS_DB", "database.redis.db", drops="database.redis.url"),
    _row(
        "REDIS_USERNAME DATABASE_REDIS_USERNAME SOKETI_DB_REDIS_USERNAME",
        "database.redis.username",
        drops="database.redis.url",
    ),
    _row(
        "REDIS_PASSWORD DATABASE_REDIS_PASSWORD SOKETI_DB_REDIS_PASSWORD",
        "database.redis.password",
        drops="database.redis.url",
    ),
    _row(
        "REDIS_URL",  # every Redis user at once
        "database.redis.url",
        drops="adapter.redis.url_override cache.redis.url_override queue.redis.url_override "
        "rate_limiter.redis.url_override database.redis.host database.redis.port database.redis.db "
        "database.redis.username database.redis.password database.redis.sentinels",
    ),
    _row(
        "REDIS_CLUSTER_NODES DATABASE_REDIS_CLUSTER_NODES SOKETI_DB_REDIS_CLUSTER_NODES",
        "database.redis.cluster.nodes",
        "nodes",
    ),
    _row("DATABASE_REDIS_CLUSTER_USERNAME", "database.redis.cluster.username"),
    _row("DATABASE_REDIS_CLUSTER_PASSWORD", "database.redis.cluster.password"),
    _row("DATABASE_REDIS_CLUSTER_USE_TLS", "database.redis.cluster.use_tls"),
    _row(
        "DATABASE_REDIS_SENTINELS SOKETI_DB_REDIS_SENTINELS",
        "database.redis.sentinels",
        "nodes",
        drops="database.redis.url",
    ),
    _row("DATABASE_REDIS_NAME SOKETI_DB_REDIS_INSTANCE_NAME", "database.redis.name"),
    _row("DATABASE_REDIS_SENTINEL_USERNAME", "database.redis.sentinel_username"),
    _row("DATABASE_REDIS_SENTINEL_PASSWORD SOKETI_DB_REDIS_SENTINEL_PASSWORD", "database.redis.sentinel_password"),
    *(
        _row(f"DATABASE_REDIS_{place.upper()}_{key.upper()}", f"database.redis.{place}.{key}")
        for place in ("sentinel_tls", "master_tls")
        for key in ("enabled", "accept_invalid_certs", "ca_path", "client_cert_path", "client_key_path")
    ),
    _row("DATABASE_POSTGRES_USERNAME DATABASE_POSTGRES_USER SOKETI_DB_POSTGRES_USERNAME", "database.postgres.username"),
    *(
        _row(f"DATABASE_{name.upper()}_{key.upper()} SOKETI_DB_{name.upper()}_{key.upper()}", f"database.{name}.{key}")
        for name in ("postgres", "mysql")
        for key in ("host", "port", "password", "database")
    ),
    _row("DATABASE_MYSQL_USERNAME SOKETI_DB_MYSQL_USERNAME", "database.mysql.username"),
    _row("DATABASE_POSTGRES_TABLE_NAME SOKETI_APP_MANAGER_POSTGRES_TABLE", "database.postgres.table_name"),
    _row("DATABASE_MYSQL_TABLE_NAME SOKETI_APP_MANAGER_MYSQL_TABLE", "database.mysql.table_name"),
    *(
        _row(f"DATABASE_{name.upper()}_{key.upper()}", f"database.{name}.{key}")
        for name in ("postgres", "mysql")
        for key in ("sslmode", "ca_path")
    ),
    _row("DATABASE_DYNAMODB_REGION SOKETI_APP_MANAGER_DYNAMODB_REGION", "database.dynamodb.region"),
    _row("DATABASE_DYNAMODB_TABLE_NAME SOKETI_APP_MANAGER_DYNAMODB_TABLE", "database.dynamodb.table_name"),
    _row("DATABASE_DYNAMODB_ENDPOINT_URL SOKETI_APP_MANAGER_DYNAMODB_ENDPOINT", "database.dynamodb.endpoint_url"),
    _row("WEBHOOK_ENABLED", "webhooks.enabled"),
    _row("WEBHOOK_BATCHING_ENABLED SOKETI_WEBHOOKS_BATCHING", "webhooks.batching.enabled"),
    _row("WEBHOOK_BATCHING_DURATION SOKETI_WEBHOOKS_BATCHING_DURATION", "webhooks.batching.duration"),
    _row("WEBHOOK_BATCHING_SIZE", "webhooks.batching.size"),
    _row(
        "WEBHOOK_WORKER_CONCURRENCY",
        "queue.memory.concurrency queue.sqlite.concurrency queue.redis.concurrency queue.sqs.concurrency",
    ),
    _row("WEBHOOK_SPOOL_PATH", "webhooks.spool.path"),
    _row("WEBHOOK_RATE_LIMIT", "webhooks.delivery.global_rate"),
    _row("WEBHOOK_RATE_LIMIT_WINDOW_MS", "webhooks.delivery.global_rate_window_ms"),
)

# The app that variables make: names, the newest first, and the key of the app.
DEFAULT_APP: tuple[Override, ...] = (
    _row("SOCKUDO_DEFAULT_APP_ID SOKETI_DEFAULT_APP_ID", "id"),
    _row("SOCKUDO_DEFAULT_APP_KEY SOKETI_DEFAULT_APP_KEY", "key"),
    _row("SOCKUDO_DEFAULT_APP_SECRET SOKETI_DEFAULT_APP_SECRET", "secret"),
    _row("SOCKUDO_DEFAULT_APP_ENABLED SOKETI_DEFAULT_APP_ENABLED", "enabled"),
    _row("SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS SOKETI_DEFAULT_APP_MAX_CONNS", "max_connections"),
    _row(
        "SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES SOCKUDO_ENABLE_CLIENT_MESSAGES "
        "SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES",
        "enable_client_messages",
    ),
    _row(
        "SOCKUDO_DEFAULT_APP_ENABLE_USER_AUTHENTICATION SOKETI_DEFAULT_APP_USER_AUTHENTICATION",
        "enable_user_authentication",
    ),
    _row("SOCKUDO_DEFAULT_APP_ENABLE_WATCHLIST_EVENTS", "enable_watchlist_events"),
    _row("SOCKUDO_DEFAULT_APP_ENABLE_SUBSCRIPTION_COUNT", "enable_subscription_count"),
    _row(
        "SOCKUDO_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SECOND SOKETI_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC",
        "max_backend_events_per_second",
    ),
    _row(
        "SOCKUDO_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SECOND SOKETI_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC",
        "max_client_events_per_second",
    ),
    _row(
        "SOCKUDO_DEFAULT_APP_MAX_READ_REQUESTS_PER_SECOND SOKETI_DEFAULT_APP_MAX_READ_REQ_PER_SEC",
        "max_read_requests_per_second",
    ),
    _row("SOCKUDO_DEFAULT_APP_MAX_PRESENCE_MEMBERS_PER_CHANNEL", "max_presence_members_per_channel"),
    _row("SOCKUDO_DEFAULT_APP_MAX_PRESENCE_MEMBER_SIZE_IN_KB", "max_presence_member_size_in_kb"),
    _row("SOCKUDO_DEFAULT_APP_MAX_CHANNEL_NAME_LENGTH", "max_channel_name_length"),
    _row("SOCKUDO_DEFAULT_APP_MAX_EVENT_CHANNELS_AT_ONCE", "max_event_channels_at_once"),
    _row("SOCKUDO_DEFAULT_APP_MAX_EVENT_NAME_LENGTH", "max_event_name_length"),
    _row("SOCKUDO_DEFAULT_APP_MAX_EVENT_PAYLOAD_IN_KB", "max_event_payload_in_kb"),
    _row("SOCKUDO_DEFAULT_APP_MAX_EVENT_BATCH_SIZE", "max_event_batch_size"),
    _row("SOCKUDO_DEFAULT_APP_ALLOWED_ORIGINS", "allowed_origins", "list"),
    _row("SOKETI_DEFAULT_APP_WEBHOOKS", "webhooks", "json"),
)
APP_PAIR = ("id", "key", "secret")
# Sockudo's switches that leave out the apps of the file: the first when it says yes, the second when it says no.
SKIP_INLINE_APPS = "SOCKUDO_SKIP_INLINE_APPS"
REGISTER_INLINE_APPS = "APP_MANAGER_REGISTER_INLINE_APPS"
