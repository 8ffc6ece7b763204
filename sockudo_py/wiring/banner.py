"""The banner of a start: addresses and drivers."""

from collections.abc import Iterable
from urllib.parse import quote

from sockudo_py import __version__
from sockudo_py.apps.base import AppDefinition
from sockudo_py.config import Config
from sockudo_py.config.sections.drivers import RateLimiterConfig
from sockudo_py.config.sections.server import RateLimit
from sockudo_py.edge.sockets.listening import shown
from sockudo_py.wiring.key_file import KeyFile

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - nobody can connect to these


def key_lines(config: Config, port: int, file: KeyFile | None, login: str | None) -> list[str]:
    """Return the lines for a terminal, never for a log: an admin key that was made just now, and a link that logs in.

    ``login``: the token of a login link; None: there is none.
    """
    lines = []
    if file is not None and file.made:
        lines.append(f"  {'admin key':<9} {file.key}  (shown this once; it is in {file.path})")
    if login is not None:
        secure, place = "s" if config.ssl.enabled else "", f"{shown(_here(config.host), port)}{config.url_prefix}"
        lines.append(f"  {'log in':<9} http{secure}://{place}/dashboard/#login={login}  (once, within ten minutes)")
    return lines


def banner_lines(
    config: Config,
    port: int,
    metrics_port: int | None,
    apps: Iterable[AppDefinition],
    key_file: KeyFile | None = None,
    workers: int | None = None,
    made: int = 0,
) -> list[str]:
    """Return the lines. No secret is in them. Every URL can be used as it stands, at least on this machine.

    ``made``: how many endpoints the management API has made.
    """
    secure = "s" if config.ssl.enabled else ""
    address = shown(_here(config.host), port)
    base = f"{address}{config.url_prefix}"
    definitions = list(apps)
    lone = definitions[0].app if len(definitions) == 1 else None
    app_id, key = (quote(lone.id, safe=""), quote(lone.keys[0].key, safe="")) if lone else ("ID", "KEY")
    endpoints = [endpoint for definition in definitions for endpoint in definition.endpoints]
    queue = config.queue.driver
    kept = "lost when this process ends" if queue == "memory" else "kept over restarts"
    rows = [
        ("clients", f"ws{secure}://{base}/app/{key}"),
        ("HTTP API", f"http{secure}://{base}/apps/{app_id}/events"),
        ("health", f"http{secure}://{address}/up"),
    ]
    if config.host in EVERYWHERE:
        rows.append(("listens", f"on all addresses of this machine, port {port}"))
    if config.unix_socket.enabled:
        rows.append(("socket", f"{config.unix_socket.path} (mode {config.unix_socket.permission_mode})"))
    if workers is not None:
        rows.append(("workers", f"{workers} on the port"))
    metrics = "off" if metrics_port is None else f"http://{shown(_here(config.metrics_host), metrics_port)}/metrics"
    rows.append(("metrics", metrics))
    rows.append(("apps", f"{_names(definitions)} ({config.app_manager.driver})"))
    if config.sends_webhooks:
        off = sum(not endpoint.enabled for endpoint in endpoints)
        disabled = f", {off} of them disabled" if off else ""
        plural = "endpoint" if len(endpoints) == 1 else "endpoints"
        by_api = f", and {made} that the API has made" if made else ""
        rows.append(("webhooks", f"{len(endpoints)} {plural}{disabled}{by_api}; queue {queue}: jobs are {kept}"))
    else:
        rows.append(("webhooks", "off"))
    admin = config.webhooks.admin
    if admin.enabled:
        keys = len(admin.api_keys) + (key_file is not None)
        in_file = "" if key_file is None else f": {key_file.path}" if keys == 1 else f", one in {key_file.path}"
        closed = "closed: no admin key; `sockudo-py admin-key` makes one, and says where to put it"
        opened = f"http{secure}://{base}/api/webhooks ({keys} admin key{'' if keys == 1 else 's'}{in_file})"
        rows.append(("manage", opened if keys else closed))
        if keys:
            rows.append(("dashboard", f"http{secure}://{base}/dashboard/"))
    rows.append(
        (
            "drivers",
            f"adapter {config.adapter.driver}, cache {config.cache.driver}, limits {config.rate_limiter.driver}",
        )
    )
    rows.append(("limits", f"by address: {_limits(config.rate_limiter)}"))
    rows.append(("config", config.origin))
    return [f"sockudo_py {__version__}", *(f"  {name:<9} {text}" for name, text in rows)]


def _here(host: str) -> str:
    return "localhost" if host in EVERYWHERE else host


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
