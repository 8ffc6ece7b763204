"""Rules that concern several keys. They look at the document before its types are checked: no mistake hides another."""

import re
from collections.abc import Iterator
from typing import Any, Final

from sockudo_py.config.problems import Loc, Origins, Problem, show
from sockudo_py.config.reading.normalise import APP, ENDPOINT, find
from sockudo_py.config.sections.types import AUTO
from sockudo_py.config.tables.unused import is_blank

START_REDIS: Final = "redis-server --appendonly yes --maxmemory-policy noeviction"
_SHARED: Final = {  # by key: what processes can share, in words, and all values that will do
    "adapter.driver": ("redis", ("redis",)),
    "queue.driver": ("redis or sqs", ("redis", "sqs", "none")),  # with none there is nothing to share
    "queue.sqs.store": ("redis", ("redis",)),
}


def broken_rules(raw: dict[str, Any], origins: Origins) -> list[Problem]:
    """Return every broken rule."""
    return [
        *_twice(raw, origins, "is also the id of {other}", APP + "id"),
        *_twice(raw, origins, "is also the key of {other}", APP + "key", APP + "keys[].key"),
        *_twice(raw, origins, "is also the uid of {other}", ENDPOINT + "uid"),
        *_twice(raw, origins, "is also the id of {other}", ENDPOINT + "id"),
        *_one_target(raw),
        *_needs(raw, origins),
        *_one_port(raw),
        *_low_below_high(raw),
        *_one_redis(raw),
    ]


def _one_redis(raw: dict[str, Any]) -> Iterator[Problem]:
    redis = _section(_section(raw, "database"), "redis")
    base: Loc = ("database", "redis")
    if redis.get("sentinels"):
        if redis.get("url"):
            yield Problem((*base, "url"), "is given besides sentinels, which say where the master is", "remove one")
        return
    for key in ("sentinel_tls", "master_tls"):
        if not is_blank(_section(redis, key).get("enabled")):
            text = "has no effect: there are no database.redis.sentinels"
            yield Problem((*base, key, "enabled"), text, "for TLS to one server use database.redis.url with rediss://")


def _low_below_high(raw: dict[str, Any]) -> Iterator[Problem]:
    marks = _section(raw, "watermarks")
    for name in ("memory", "connections"):
        high, low = marks.get(f"{name}_high"), marks.get(f"{name}_low")
        if isinstance(high, int | float) and isinstance(low, int | float) and low > high > 0:
            yield Problem(
                ("watermarks", f"{name}_low"), f"is above {name}_high", "write a smaller number, or leave it out"
            )


def _twice(raw: dict[str, Any], origins: Origins, text: str, *patterns: str) -> Iterator[Problem]:
    seen: dict[str, Loc] = {}
    places = sorted((loc, parent[key]) for pattern in patterns for parent, key, loc in find(raw, pattern))
    for loc, value in sorted(places, key=lambda place: show(place[0])):
        if not isinstance(value, str | int):
            continue
        first = seen.setdefault(str(value), loc)
        if first != loc:
            yield Problem(loc, text.format(other=show(origins.find(first)[1][:-1])), "each must have its own")


def _one_target(raw: dict[str, Any]) -> Iterator[Problem]:
    for parent, key, loc in find(raw, ENDPOINT.rstrip(".").removesuffix("[]")):
        endpoints = parent[key]
        for index, endpoint in enumerate(endpoints if isinstance(endpoints, list) else ()):
            if not isinstance(endpoint, dict):
                continue
            given = [name for name in ("url", "lambda", "feed") if endpoint.get(name) not in (None, "")]
            if len(given) != 1:
                text = f"has {' and '.join(given)}" if given else "has neither url nor lambda nor feed"
                yield Problem((*loc, index), text, "give exactly one of them")


def switch_on_tls(raw: dict[str, Any]) -> None:
    """Set ``ssl.enabled`` where it was left out and a certificate and its key are given."""
    ssl = raw.get("ssl")
    if isinstance(ssl, dict) and "enabled" not in ssl and ssl.get("cert_path") and ssl.get("key_path"):
        ssl["enabled"] = True


def _needs(raw: dict[str, Any], origins: Origins) -> Iterator[Problem]:
    ssl = _section(raw, "ssl")
    if _yes(ssl.get("enabled")):
        for key in ("cert_path", "key_path"):
            if not ssl.get(key):
                yield _missing(("ssl", key), ("ssl", "enabled"), "TLS is asked for", "name the PEM file", origins)
    yield from _shared_by_workers(raw)
    manager = _section(raw, "app_manager")
    if manager.get("driver") == "file" and not _section(manager, "file").get("path"):
        where: Loc = ("app_manager", "file", "path")
        yield _missing(where, ("app_manager", "driver"), "the driver is file", "name the folder", origins)


def _shared_by_workers(raw: dict[str, Any]) -> Iterator[Problem]:
    """Several processes are one server only with drivers that they share: one line names all that is missing."""
    written = str(raw.get("workers", 1)).strip().lower()
    if written != AUTO and (_number(written) or 1) < 2:
        return
    adapter, queue = _section(raw, "adapter"), _section(raw, "queue")
    found = {
        "adapter.driver": _word(adapter.get("driver"), "local"),
        "queue.driver": _word(queue.get("driver"), "sqlite"),
    }
    if found["queue.driver"] == "sqs":
        found["queue.sqs.store"] = _word(_section(queue, "sqs").get("store"), "sqlite")
    missing = [key for key, value in found.items() if value not in _SHARED[key][1]]
    if missing:
        wanted = " and ".join(f"{key} {_SHARED[key][0]} (it is {found[key]})" for key in missing)
        keys = " and ".join(missing)
        text = f"is {written}, and several processes are one server only with {wanted}"
        yield Problem(("workers",), text, f"set {keys} to redis, which `{START_REDIS}` starts, or workers to 1")


def _word(value: Any, usual: str) -> str:
    return value.strip().lower() if isinstance(value, str) and value.strip() else usual


def _missing(key: Loc, cause: Loc, why: str, remedy: str, origins: Origins) -> Problem:
    """Return that a key is missing because of another one; where that one came from a variable, it is named."""
    if origins.variable(cause) is None:
        return Problem(key, f"is missing, and {why}", remedy)
    return Problem(cause, f"{why}, and {show(key)} is missing", remedy)


def _one_port(raw: dict[str, Any]) -> Iterator[Problem]:
    """The port and that of the metrics can't be the same on one address."""
    metrics = _section(raw, "metrics")
    port, other = _number(raw.get("port", 6001)), _number(metrics.get("port", 9601))
    host = str(raw.get("host", "0.0.0.0"))  # noqa: S104 - the default
    hosts = {host, str(metrics.get("host", host))}
    overlap = len(hosts) == 1 or hosts & {"0.0.0.0", "::", "localhost"}  # noqa: S104
    free = 9601 if port != 9601 else 9602
    if port and port == other and overlap and not _no(metrics.get("enabled")):
        yield Problem(("metrics", "port"), "is also the port of the server", f"choose another, such as {free}")


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | str) and re.fullmatch(r"[0-9]{1,6}", str(value)) else None


def _section(raw: dict[str, Any], key: str) -> dict[str, Any]:
    section = raw.get(key)
    return section if isinstance(section, dict) else {}


def _yes(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1", "yes", "on"))


def _no(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.lower() in ("false", "0", "no", "off"))
