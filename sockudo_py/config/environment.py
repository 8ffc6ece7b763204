"""Environment variables that override the file. One table; `docs/configuration.md` is made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sockudo_py.config.problems import Loc, Origins, Problem

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Override:
    """Variables, of which the first that is set and not empty counts; the keys it sets, and keys it ``drops``."""

    names: tuple[str, ...]
    keys: tuple[str, ...]
    kind: Literal["value", "list", "switch_on"] = "value"
    drops: tuple[str, ...] = ()


def _row(names: str, keys: str, kind: Literal["value", "list", "switch_on"] = "value", drops: str = "") -> Override:
    return Override(tuple(names.split()), tuple(keys.split()), kind, tuple(drops.split()))


OVERRIDES: tuple[Override, ...] = (
    _row("HOST SOKETI_HOST", "host"),
    _row("PORT SOKETI_PORT", "port"),
    _row("ENVIRONMENT SOKETI_MODE", "mode"),
    _row("DEBUG_MODE SOKETI_DEBUG", "debug"),
    _row("DEBUG", "debug", "switch_on"),  # set to all sorts of things for other programs: only a yes counts
    _row("PATH_PREFIX SOKETI_PATH_PREFIX", "path_prefix"),
    _row("WORKERS", "workers"),
    _row("SHUTDOWN_GRACE_PERIOD", "shutdown_grace_period"),
    _row("SOCKUDO_MAX_CONNECTIONS", "max_connections"),
    _row("TRUSTED_PROXIES", "trusted_proxies", "list"),
    _row("ACTIVITY_TIMEOUT", "activity_timeout"),
    _row("PING_INTERVAL", "ping_interval"),
    _row("PONG_TIMEOUT", "pong_timeout"),
    _row("USER_AUTHENTICATION_TIMEOUT", "user_authentication_timeout"),
    _row("WEBSOCKET_MAX_PAYLOAD_KB", "websocket_max_payload_kb"),
    _row("HTTP_API_USAGE_ENABLED", "http_api.usage_enabled"),
    _row("LOG_LEVEL", "logging.level"),
    _row("LOG_OUTPUT_FORMAT", "logging.format"),
    _row("LOG_COLORS_ENABLED", "logging.colors_enabled"),
    _row("LOG_INCLUDE_TARGET", "logging.include_target"),
    _row("SSL_ENABLED", "ssl.enabled"),
    _row("SSL_CERT_PATH SOKETI_SSL_CERT", "ssl.cert_path"),
    _row("SSL_KEY_PATH SOKETI_SSL_KEY", "ssl.key_path"),
    _row("SSL_PASSPHRASE SOKETI_SSL_PASS", "ssl.passphrase"),
    _row("UNIX_SOCKET_ENABLED", "unix_socket.enabled"),
    _row("UNIX_SOCKET_PATH", "unix_socket.path"),
    _row("UNIX_SOCKET_PERMISSION_MODE", "unix_socket.permission_mode"),
    _row("CORS_ORIGINS", "cors.origin", "list"),
    _row("CORS_METHODS", "cors.methods", "list"),
    _row("CORS_HEADERS", "cors.allowed_headers", "list"),
    _row("CORS_CREDENTIALS", "cors.credentials"),
    _row("METRICS_ENABLED SOKETI_METRICS_ENABLED", "metrics.enabled"),
    _row("METRICS_DRIVER", "metrics.driver"),
    _row("METRICS_HOST SOKETI_METRICS_HOST", "metrics.host"),
    _row("METRICS_PORT SOKETI_METRICS_SERVER_PORT", "metrics.port"),
    _row("METRICS_PROMETHEUS_PREFIX SOKETI_METRICS_PROMETHEUS_PREFIX", "metrics.prometheus.prefix"),
    _row("ADAPTER_DRIVER SOKETI_ADAPTER_DRIVER", "adapter.driver"),
    _row("APP_MANAGER_DRIVER SOKETI_APP_MANAGER_DRIVER", "app_manager.driver"),
    _row("APP_MANAGER_FILE_PATH", "app_manager.file.path"),
    _row("CACHE_DRIVER SOKETI_CACHE_DRIVER", "cache.driver"),
    _row("CACHE_TTL_SECONDS", "channel_limits.cache_ttl"),
    _row("CACHE_MAX_CAPACITY", "cache.memory.max_capacity"),
    _row("QUEUE_DRIVER SOKETI_QUEUE_DRIVER", "queue.driver"),
    _row("QUEUE_SQLITE_PATH", "queue.sqlite.path"),
    _row("QUEUE_SQLITE_SYNC", "queue.sqlite.sync"),
    _row("QUEUE_REDIS_CONCURRENCY", "queue.redis.concurrency"),
    _row("QUEUE_REDIS_PREFIX", "queue.redis.prefix"),
    _row("QUEUE_REDIS_RESPONSE_TIMEOUT_MS", "queue.redis.response_timeout_ms"),
    _row("QUEUE_SQS_REGION", "queue.sqs.region"),
    _row("QUEUE_SQS_VISIBILITY_TIMEOUT", "queue.sqs.visibility_timeout"),
    _row("QUEUE_SQS_MAX_MESSAGES", "queue.sqs.max_messages"),
    _row("QUEUE_SQS_WAIT_TIME_SECONDS", "queue.sqs.wait_time_seconds"),
    _row("QUEUE_SQS_CONCURRENCY", "queue.sqs.concurrency"),
    _row("QUEUE_SQS_FIFO", "queue.sqs.fifo"),
    _row("QUEUE_SQS_ENDPOINT_URL", "queue.sqs.endpoint_url"),
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
        "rate_limiter.redis.url_override",
    ),
    _row("WEBHOOK_ENABLED", "webhooks.enabled"),
    _row("WEBHOOK_BATCHING_ENABLED", "webhooks.batching.enabled"),
    _row("WEBHOOK_BATCHING_DURATION", "webhooks.batching.duration"),
    _row("WEBHOOK_BATCHING_SIZE", "webhooks.batching.size"),
    _row(
        "WEBHOOK_WORKER_CONCURRENCY",
        "queue.memory.concurrency queue.sqlite.concurrency queue.redis.concurrency queue.sqs.concurrency",
    ),
    _row("WEBHOOK_RATE_LIMIT", "webhooks.delivery.global_rate"),
    _row("WEBHOOK_RATE_LIMIT_WINDOW_MS", "webhooks.delivery.global_rate_window_ms"),
)

DEFAULT_APP: tuple[tuple[str, str], ...] = tuple(
    (name, name.removeprefix("SOCKUDO_DEFAULT_APP_").lower())
    for name in (
        "SOCKUDO_DEFAULT_APP_ID",
        "SOCKUDO_DEFAULT_APP_KEY",
        "SOCKUDO_DEFAULT_APP_SECRET",
        "SOCKUDO_DEFAULT_APP_ENABLED",
        "SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS",
        "SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES",
        "SOCKUDO_DEFAULT_APP_ENABLE_USER_AUTHENTICATION",
        "SOCKUDO_DEFAULT_APP_ENABLE_WATCHLIST_EVENTS",
        "SOCKUDO_DEFAULT_APP_ENABLE_SUBSCRIPTION_COUNT",
        "SOCKUDO_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SECOND",
        "SOCKUDO_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SECOND",
        "SOCKUDO_DEFAULT_APP_MAX_READ_REQUESTS_PER_SECOND",
        "SOCKUDO_DEFAULT_APP_MAX_PRESENCE_MEMBERS_PER_CHANNEL",
        "SOCKUDO_DEFAULT_APP_MAX_PRESENCE_MEMBER_SIZE_IN_KB",
        "SOCKUDO_DEFAULT_APP_MAX_CHANNEL_NAME_LENGTH",
        "SOCKUDO_DEFAULT_APP_MAX_EVENT_CHANNELS_AT_ONCE",
        "SOCKUDO_DEFAULT_APP_MAX_EVENT_NAME_LENGTH",
        "SOCKUDO_DEFAULT_APP_MAX_EVENT_PAYLOAD_IN_KB",
        "SOCKUDO_DEFAULT_APP_MAX_EVENT_BATCH_SIZE",
        "SOCKUDO_DEFAULT_APP_ALLOWED_ORIGINS",
    )
)
APP_PAIR = ("id", "key", "secret")


def override(raw: dict[str, Any], env: Mapping[str, str], origins: Origins, problems: list[Problem]) -> None:
    """Put the values of environment variables into a document, in place. Empty variables don't count."""
    for row in OVERRIDES:
        name = next((name for name in row.names if env.get(name)), None)
        if name is None or (row.kind == "switch_on" and env[name].lower() not in TRUE):
            continue
        for key in row.drops:
            _set(raw, key, None)
        value = _entries(env[name]) if row.kind == "list" else env[name]
        for key in row.keys:
            _set(raw, key, value)
            origins.moved[tuple(key.split("."))] = (_source(name), ())
    _default_app(raw, env, origins, problems)


def default_app_given(env: Mapping[str, str]) -> bool:
    """Return whether the environment defines an app."""
    return any(env.get(name) for name, key in DEFAULT_APP if key in APP_PAIR)


def _source(name: str) -> str:
    return f"environment variable {name}"


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place: Any = raw
    for part in parents:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            return  # validation says that it should be an object
    place[last] = value


def _default_app(raw: dict[str, Any], env: Mapping[str, str], origins: Origins, problems: list[Problem]) -> None:
    """Add the app of ``SOCKUDO_DEFAULT_APP_*``, in place of the one with the same id if there is one."""
    given = {key: env[name] for name, key in DEFAULT_APP if env.get(name)}
    if not any(key in given for key in APP_PAIR):
        return
    _set_default(raw, "app_manager.array.apps", [])
    apps = _get(raw, "app_manager.array.apps")
    if not isinstance(apps, list):
        return
    missing = [name for name, key in DEFAULT_APP if key in APP_PAIR and key not in given]
    for name in missing:
        problems.append(Problem((name,), "is not set", "an app needs id, key and secret"))
        origins.moved[(name,)] = (_source(name), ())
    if missing:
        return
    app: dict[str, Any] = {**given}
    if "allowed_origins" in app:
        app["allowed_origins"] = _entries(app["allowed_origins"])
    index = next((i for i, old in enumerate(apps) if isinstance(old, dict) and old.get("id") == app["id"]), len(apps))
    if index == len(apps):
        apps.append(app)
    else:
        apps[index] = {**apps[index], **app}
    base: Loc = ("app_manager", "array", "apps", index)
    for name, key in DEFAULT_APP:
        if key in given:
            origins.moved[(*base, key)] = (_source(name), ())


def _get(raw: Any, key: str) -> Any:
    for part in key.split("."):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _set_default(raw: dict[str, Any], key: str, value: Any) -> None:
    if _get(raw, key) is None:
        _set(raw, key, value)
