"""Rules that concern several keys. They look at the document before its types are checked: no mistake hides another."""

from collections.abc import Iterator
from typing import Any

from sockudo_py.config.normalise import APP, ENDPOINT, find
from sockudo_py.config.problems import Loc, Origins, Problem, show


def broken_rules(raw: dict[str, Any], origins: Origins) -> list[Problem]:
    """Return every broken rule."""
    return [
        *_twice(raw, origins, "is also the id of {other}", APP + "id"),
        *_twice(raw, origins, "is also the key of {other}", APP + "key", APP + "keys[].key"),
        *_twice(raw, origins, "is also the uid of {other}", ENDPOINT + "uid"),
        *_twice(raw, origins, "is also the id of {other}", ENDPOINT + "id"),
        *_one_target(raw),
        *_needs(raw),
    ]


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
            given = [name for name in ("url", "lambda") if endpoint.get(name) is not None]
            if len(given) != 1:
                text = "has both url and lambda" if given else "has neither url nor lambda"
                yield Problem((*loc, index), text, "give exactly one of them")


def _needs(raw: dict[str, Any]) -> Iterator[Problem]:
    ssl = _section(raw, "ssl")
    if _yes(ssl.get("enabled")):
        for key in ("cert_path", "key_path"):
            if not ssl.get(key):
                yield Problem(("ssl", key), "is missing, and ssl.enabled is true", "name the PEM file")
    manager = _section(raw, "app_manager")
    if manager.get("driver") == "file" and not _section(manager, "file").get("path"):
        yield Problem(("app_manager", "file", "path"), "is missing, and the driver is file", "name the folder")
    workers = raw.get("workers")
    if str(workers).isdecimal() and int(str(workers)) > 1 and _section(raw, "adapter").get("driver") != "redis":
        yield Problem(("workers",), "is more than 1, and the adapter is local", "set adapter.driver to redis")


def _section(raw: dict[str, Any], key: str) -> dict[str, Any]:
    section = raw.get(key)
    return section if isinstance(section, dict) else {}


def _yes(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1", "yes", "on"))
