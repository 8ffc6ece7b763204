"""The banner of a start: addresses and drivers."""

from collections.abc import Iterable

from sockudo_py import __version__
from sockudo_py.apps.base import AppDefinition
from sockudo_py.config import Config
from sockudo_py.config.drivers import RateLimiterConfig
from sockudo_py.config.server import RateLimit
from sockudo_py.edge.listening import shown


def banner_lines(config: Config, port: int, metrics_port: int | None, apps: Iterable[AppDefinition]) -> list[str]:
    """Return the lines. No secret is in them."""
    secure = "s" if config.ssl.enabled else ""
    address = shown(config.host, port)
    base = f"{address}{config.url_prefix}"
    definitions = list(apps)
    endpoints = [endpoint for definition in definitions for endpoint in definition.endpoints]
    queue = config.queue.driver
    kept = "lost when this process ends" if queue == "memory" else "kept over restarts"
    rows = [
        ("clients", f"ws{secure}://{base}/app/KEY"),
        ("HTTP API", f"http{secure}://{base}/apps/ID/events"),
        ("health", f"http{secure}://{address}/up   /live   /usage"),
    ]
    if config.unix_socket.enabled:
        rows.append(("socket", f"{config.unix_socket.path} (mode {config.unix_socket.permission_mode})"))
    metrics = "off" if metrics_port is None else f"http://{shown(config.metrics_host, metrics_port)}/metrics"
    rows.append(("metrics", metrics))
    rows.append(("apps", f"{_names(definitions)} ({config.app_manager.driver})"))
    if config.sends_webhooks:
        off = sum(not endpoint.enabled for endpoint in endpoints)
        disabled = f", {off} of them disabled" if off else ""
        plural = "endpoint" if len(endpoints) == 1 else "endpoints"
        rows.append(("webhooks", f"{len(endpoints)} {plural}{disabled}; queue {queue}: jobs are {kept}"))
    else:
        rows.append(("webhooks", "off"))
    rows.append(
        (
            "drivers",
            f"adapter {config.adapter.driver}, cache {config.cache.driver}, limits {config.rate_limiter.driver}",
        )
    )
    rows.append(("limits", f"by address: {_limits(config.rate_limiter)}"))
    rows.append(("config", config.origin))
    return [f"sockudo_py {__version__}", *(f"  {name:<9} {text}" for name, text in rows)]


def _limits(limiter: RateLimiterConfig) -> str:
    if not limiter.enabled:
        return "none"
    api, connect = limiter.api_rate_limit, limiter.websocket_rate_limit
    return f"{_per_window(connect, 'connection')}, {_per_window(api, 'API request')}"


def _per_window(limit: RateLimit, what: str) -> str:
    if limit.max_requests is None:
        return f"any number of {what}s"
    return f"{limit.max_requests} {what}{'' if limit.max_requests == 1 else 's'} in {limit.window_seconds:g} s"


def _names(definitions: list[AppDefinition]) -> str:
    if not definitions:
        return "none yet"
    names = [definition.app.id + ("" if definition.app.enabled else " (disabled)") for definition in definitions[:5]]
    more = len(definitions) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
