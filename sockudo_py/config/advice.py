"""Warnings about settings that are allowed and probably a mistake."""

import difflib
import re
from collections.abc import Iterator

from sockudo_py.config.model import Config
from sockudo_py.config.problems import Loc, Origins, Problem
from sockudo_py.config.sections.app import PUBLISHED_SECRETS, AppConfig
from sockudo_py.config.sections.endpoint import PUSHER_EVENTS, SOCKUDO_EVENTS

LOOPBACK = ("127.0.0.1", "::1", "localhost")
FEW_REQUESTS = 50  # a second; a backend that publishes as things happen easily sends as many
NO_QUEUE = ("is none, so the webhook endpoints get nothing", "set it to sqlite")


def advice(config: Config, origins: Origins) -> list[str]:
    """Return one warning per line."""
    manager = config.app_manager
    found: list[Problem] = []
    base: Loc = ("app_manager", "array", "apps")
    inline = manager.driver in ("memory", "array")
    if inline and not manager.array.apps:
        found.append(Problem(base, "there is no app, so nobody can connect", "add one"))
    if not inline and manager.array.apps:
        remedy = "move the apps to app_manager.file.path" if manager.driver == "file" else "insert them into the table"
        found.append(Problem(base, f"has no effect with the driver {manager.driver}", remedy))
    if inline and manager.array.apps and not any(app.enabled for app in manager.array.apps):
        text = "is false, and no other app is enabled, so nobody can connect"
        found.append(Problem((*base, 0, "enabled"), text, "set it to true, or add an app"))
    for index, app in enumerate(manager.array.apps):
        secrets = {app.secret.get_secret_value(), *(pair.secret.get_secret_value() for pair in app.keys)}
        exposed = config.host not in LOOPBACK
        if (exposed or config.mode == "production") and secrets & PUBLISHED_SECRETS:
            why = "mode is production" if config.mode == "production" else f"the server listens on {config.host}"
            text = f"is a published demo secret, and {why}"
            found.append(Problem((*base, index, "secret"), text, "make one: openssl rand -hex 20"))
        if app.require_tls and not (config.ssl.enabled or config.trusted_proxies or config.unix_socket.enabled):
            text = "is true, but neither this server nor a trusted proxy has TLS, so nobody can connect"
            found.append(Problem((*base, index, "require_tls"), text, "set ssl, or trusted_proxies"))
        found += _no_pace(app, (*base, index))
        found += endpoint_advice(app, (*base, index, "webhooks"))
    found += _plain_text(config)
    found += _outdone(config)
    found += _limits(config)
    found += _unshared(config)
    if config.queue.driver == "none" and any(app.webhooks for app in manager.array.apps):
        found.append(Problem(("queue", "driver"), *NO_QUEUE))
    return [origins.line(problem) for problem in found]


def _outdone(config: Config) -> Iterator[Problem]:
    """Yield the keys that have no effect because of another one."""
    driver, webhooks = config.queue.driver, config.webhooks
    if "ping_interval" in config.model_fields_set and config.ping_interval > config.activity_timeout:
        text = f"has no effect: activity_timeout is shorter ({config.activity_timeout:g}), and the shorter one counts"
        yield Problem(("ping_interval",), text, "set it to less, or raise activity_timeout")
    if "reconnect_grace_ms" in webhooks.model_fields_set:
        loc: Loc = ("webhooks", "reconnect_grace_ms")
        if driver not in ("sqlite", "redis"):
            text = f"has no effect with the queue driver {driver}, which does not keep who was there at a crash"
            yield Problem(loc, text, "use sqlite or redis")
        elif webhooks.reconnect_grace_ms < webhooks.vacate_delay_ms:
            text = f"has no effect: vacate_delay_ms is longer ({webhooks.vacate_delay_ms}), and the longer one counts"
            yield Problem(loc, text, "set it to more, or lower vacate_delay_ms")
    if config.database.redis.cluster.nodes and not any(
        section.redis.cluster_mode for section in (config.adapter, config.cache, config.queue, config.rate_limiter)
    ):
        text = "has no effect: no driver has cluster_mode"
        yield Problem(("database", "redis", "cluster", "nodes"), text, "set adapter.redis.cluster_mode and the others")
    if config.server_id is not None and "redis" not in (driver, config.adapter.driver):
        text = f"has no effect with the queue driver {driver}: only servers that share a Redis need names"
        yield Problem(("server_id",), text, "leave it out")


_UNSHARED = {
    "memory": "what a node that dies has queued is lost",
    "sqlite": "what a node that dies has queued waits until that node is started again",
    "sqs": "a webhook that two nodes send is not recognised as the same",
}


def _unshared(config: Config) -> Iterator[Problem]:
    """Yield the drivers that each node has for itself although the adapter makes several nodes one server."""
    if config.adapter.driver != "redis":
        return
    if config.cache.driver == "memory":
        text = "is memory: the last event of a cache channel is known on the node that published it only"
        yield Problem(("cache", "driver"), text, "set it to redis")
    queue = config.queue.driver
    if queue in _UNSHARED and config.sends_webhooks:
        yield Problem(("queue", "driver"), f"is {queue}: {_UNSHARED[queue]}", "set it to redis")
    if config.rate_limiter.enabled and config.rate_limiter.driver == "memory":
        text = "is memory: each node allows the whole limit"
        yield Problem(("rate_limiter", "driver"), text, "set it to redis")


def _limits(config: Config) -> Iterator[Problem]:
    """Yield what a limit by address may do to clients and backends that are not meant."""
    limits = config.rate_limiter
    if not limits.enabled:
        return
    api, connect = limits.api_rate_limit, limits.websocket_rate_limit
    hops = connect.trust_hops if connect.trust_hops is not None else api.trust_hops
    if connect.max_requests is not None and not config.trusted_proxies and not hops:
        text = "counts by address, and no proxy is trusted: behind a proxy all clients count as one"
        yield Problem(("rate_limiter", "enabled"), text, "name yours in trusted_proxies, if there are any")
    if api.max_requests is not None and api.max_requests / api.window_seconds < FEW_REQUESTS:
        text = f"counts your own backends too: each may send {api.max_requests} in {api.window_seconds:g} s"
        yield Problem(
            ("rate_limiter", "api_rate_limit", "max_requests"), text, "leave it out, unless that is what you want"
        )


def _no_pace(app: AppConfig, base: Loc) -> Iterator[Problem]:
    """Yield the one of the two keys about the pace of subscribing that has no effect without the other."""
    pair = {"max_subscribes_per_second": app.max_subscribes_per_second, "subscribe_burst": app.subscribe_burst}
    for (key, value), other in zip(pair.items(), reversed(pair), strict=True):
        if key in app.model_fields_set and value is not None and pair[other] is None:
            yield Problem((*base, key), f"has no effect: {other} allows any number", f"give {other} a number as well")


def _plain_text(config: Config) -> list[Problem]:
    given = [key for key in ("cert_path", "key_path") if getattr(config.ssl, key)]
    if config.ssl.enabled or not given:
        return []
    text = "has no effect: the port speaks plain text"
    remedy = "set ssl.enabled to true for TLS" if len(given) > 1 else "TLS needs ssl.cert_path and ssl.key_path"
    return [Problem(("ssl", key), text, remedy) for key in given]


def _word(name: str) -> str:
    """Return the name of an event as ours are written: memberAdded and presence.member-added as member_added."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.rpartition(".")[2].rpartition(":")[2])
    return re.sub(r"[-\s]", "_", snake).lower()


def endpoint_advice(app: AppConfig, base: Loc) -> list[Problem]:
    """Return warnings about the endpoints of an app: no events, or an event that looks misspelt."""
    advice = []
    for index, endpoint in enumerate(app.webhooks):
        if not endpoint.event_types:
            advice.append(Problem((*base, index, "event_types"), "is empty, so nothing is sent", 'list some, or ["*"]'))
        for place, name in enumerate(endpoint.event_types):
            if name in SOCKUDO_EVENTS:
                text = "is an event of Sockudo that this server does not have"
                advice.append(Problem((*base, index, "event_types", place), text, "only the API can trigger it"))
                continue
            close = difflib.get_close_matches(_word(name), PUSHER_EVENTS, n=1, cutoff=0.75)
            if close and name not in PUSHER_EVENTS:
                text = "is not an event of this server; only the API can trigger it"
                advice.append(Problem((*base, index, "event_types", place), text, f"did you mean {close[0]}?"))
    return advice
