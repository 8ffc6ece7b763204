"""Brings the forms that a configuration may have into the one that is validated. Works before types are checked."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sockudo_py.config.problems import Loc, Origins, Problem, show
from sockudo_py.config.sections.app import AppConfig
from sockudo_py.config.tables.environment import is_nothing
from sockudo_py.config.tables.unused import HARMLESS_WHEN_BLANK, INSTEAD, UNUSED, is_blank

APP = "app_manager.array.apps[]."
ENDPOINT = APP + "webhooks[]."
OPERATOR = "webhooks.operators[]."


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _pascal(name: str) -> str:
    return _camel("_" + name)


# Other spellings (left) of a key (right). ``.*`` moves the whole content of an object. Rows see the moves above them.
MOVES: tuple[tuple[str, str], ...] = (
    ("app_manager.apps", "app_manager.array.apps"),
    ("adapter.redis.redis_pub_options.url", "adapter.redis.url_override"),
    ("adapter.redis.url", "adapter.redis.url_override"),
    ("adapter.redis.requests_timeout", "adapter.redis.response_timeout_ms"),
    ("cache.redis.url", "cache.redis.url_override"),
    ("queue.redis.url", "queue.redis.url_override"),
    ("rate_limiter.redis.url", "rate_limiter.redis.url_override"),
    ("database.redis.cluster.useTLS", "database.redis.cluster.use_tls"),
    ("database.redis.cluster_nodes", "database.redis.cluster.nodes"),
    ("cache.ttl", "channel_limits.cache_ttl"),
    ("websocket.max_payload_kb", "websocket_max_payload_kb"),
    # Sockudo's documentation of webhooks
    ("webhooks.batching_enabled", "webhooks.batching.enabled"),
    ("webhooks.max_batch_size", "webhooks.batching.size"),
    ("webhooks.flush_interval_ms", "webhooks.batching.duration"),
    ("webhooks.timeout_ms", "webhooks.request_timeout_ms"),
    ("webhooks.retry.max_elapsed_time_ms", "webhooks.retry.max_age_ms"),
    # Sockudo's nested form of an app
    (APP + "policy.*", APP + "*"),
    (APP + "limits.*", APP + "*"),
    (APP + "features.*", APP + "*"),
    (APP + "channels.*", APP + "*"),
    # soketi's spelling: maxConnections
    *((APP + _camel(name), APP + name) for name in AppConfig.model_fields if _camel(name) != name),
    # ... and those of the tables that it keeps apps in
    *((APP + _pascal(name), APP + name) for name in AppConfig.model_fields if "_" in name),
    *((APP + _pascal(name), APP + name) for name in ("enabled", "webhooks")),
    *((APP + "App" + _pascal(name), APP + name) for name in ("id", "key", "secret")),
    (APP + "max_backend_events_per_sec", APP + "max_backend_events_per_second"),
    (APP + "max_client_events_per_sec", APP + "max_client_events_per_second"),
    (APP + "max_read_req_per_sec", APP + "max_read_requests_per_second"),
    (APP + "tls_only", APP + "require_tls"),
    (ENDPOINT + "events", ENDPOINT + "event_types"),
    (ENDPOINT + "lambda_function", ENDPOINT + "lambda.function_name"),
    (ENDPOINT + "filter.channel_name_starts_with", ENDPOINT + "filter.channel_prefix"),
    (ENDPOINT + "filter.channel_name_ends_with", ENDPOINT + "filter.channel_suffix"),
    (ENDPOINT + "lambda.async", ENDPOINT + "lambda.invocation_type"),
    (ENDPOINT + "timeout_ms", ENDPOINT + "request_timeout_ms"),
    (ENDPOINT + "retry.max_elapsed_time_ms", ENDPOINT + "retry.max_age_ms"),
)


def app_names() -> frozenset[str]:
    """Return every name that a key of an app may have, in any spelling, those without effect included."""
    others = (pattern for pattern in (*(old for old, _ in MOVES), *UNUSED) if pattern.startswith(APP))
    first = (re.split(r"[.\[]", pattern.removeprefix(APP))[0] for pattern in others)
    return frozenset((*AppConfig.model_fields, *first))


def app_lists() -> frozenset[str]:
    """Return the names, in any spelling, of the keys of an app that hold a list."""
    lists = {name for name, info in AppConfig.model_fields.items() if "tuple" in str(info.annotation)}
    others = {old.removeprefix(APP) for old, new in MOVES if old.startswith(APP) and new.removeprefix(APP) in lists}
    return frozenset(lists | others)


_INVOCATIONS = {True: "Event", False: "RequestResponse"}  # soketi's lambda.async
SECRETS = (
    APP + "secret",
    APP + "keys[].secret",
    *(place + name for place in (ENDPOINT, OPERATOR) for name in ("secret", "previous_secret")),
    *(f"{place}auth.{name}" for place in (ENDPOINT, OPERATOR) for name in ("password", "token", "client_secret")),
)


def normalise(
    raw: dict[str, Any], env: Mapping[str, str], origins: Origins, problems: list[Problem]
) -> list[tuple[Loc, str]]:
    """Bring a document into its one form, in place.

    Return the places of keys that have no effect here, each with its replacement, or "".
    """
    for old, new in MOVES:
        if old.endswith(".*"):
            for parent, key, loc in list(find(raw, old[:-2])):
                _spill(parent, key, loc, origins, problems)
        else:
            for parent, key, loc in list(find(raw, old)):
                _rename(parent, key, loc, _target(old, new, loc), raw, origins, problems)
    for parent, key, _ in list(find(raw, ENDPOINT + "lambda.invocation_type")):
        parent[key] = _INVOCATIONS.get(parent[key], parent[key]) if isinstance(parent[key], bool) else parent[key]
    for place in SECRETS:
        for parent, key, loc in list(find(raw, place + "_env")):
            _secret_from_env(parent, key, loc, env, origins, problems)
    return _strip_unused(raw, origins, problems)


def find(raw: Any, pattern: str) -> Iterator[tuple[dict[str, Any], str, Loc]]:
    """Yield the object, key and place of everything that a pattern such as ``a.list[].key`` matches."""
    parts = pattern.replace("[]", ".[]").split(".")
    yield from _find(raw, parts, ())


def _find(value: Any, parts: list[str], loc: Loc) -> Iterator[tuple[dict[str, Any], str, Loc]]:
    head, *rest = parts
    if head == "[]":
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _find(item, rest, (*loc, index))
    elif isinstance(value, dict) and head in value:
        if rest:
            yield from _find(value[head], rest, (*loc, head))
        else:
            yield value, head, (*loc, head)


def _target(old: str, new: str, loc: Loc) -> Loc:
    """Return the place that ``new`` means, with the list indices of ``loc``, which matched ``old``."""
    indices = iter([part for part in loc if isinstance(part, int)])
    parts = new.replace("[]", ".[]").split(".")
    return tuple(next(indices) if part == "[]" else part for part in parts)


def _rename(
    parent: dict[str, Any], key: str, old: Loc, new: Loc, raw: Any, origins: Origins, problems: list[Problem]
) -> None:
    value = parent.pop(key)
    if value is None:
        return
    place = raw
    for part in new[:-1]:
        if isinstance(place, dict) and place.get(part) is None:
            place[part] = {}
        place = place[part]
    if isinstance(place, dict):
        _put(place, str(new[-1]), value, old, new, origins, problems)
    else:  # the target's section is no object: validation says so
        parent[key] = value


def _put(
    place: dict[str, Any], key: str, value: Any, old: Loc, new: Loc, origins: Origins, problems: list[Problem]
) -> None:
    if place.get(key) is None:
        place[key] = value
        origins.move(old, new)
    elif value is not None and place[key] != value:
        problems.append(Problem(old, f"is also given as {show(origins.find(new)[1])}", "keep one of them"))


def _spill(parent: dict[str, Any], key: str, loc: Loc, origins: Origins, problems: list[Problem]) -> None:
    content = parent.pop(key)
    if content is None:
        return
    if not isinstance(content, dict):
        problems.append(Problem(loc, "must be an object", "put it in { }"))
        return
    for name, value in content.items():
        _put(parent, name, value, (*loc, name), (*loc[:-1], name), origins, problems)


def _secret_from_env(
    parent: dict[str, Any], key: str, loc: Loc, env: Mapping[str, str], origins: Origins, problems: list[Problem]
) -> None:
    name, secret = parent.pop(key), key.removesuffix("_env")
    if name is None:
        return
    if parent.get(secret) is not None:
        problems.append(Problem(loc, f"is given besides {secret}", "keep one of them"))
        return
    value = env.get(name) if isinstance(name, str) else None
    if not value or is_nothing(value):
        what = f"the environment variable {name} is not set" if _is_name(name) else "must be the name of a variable"
        problems.append(Problem(loc, what, "set it" if _is_name(name) else ""))
        value = "x"  # stands in, so that validation does not complain once more
    elif isinstance(name, str):
        origins.referenced[origins.find(loc)[1]] = name
    parent[secret] = value
    origins.move(loc, (*loc[:-1], secret))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", value) is not None


def _strip_unused(raw: dict[str, Any], origins: Origins, problems: list[Problem]) -> list[tuple[Loc, str]]:
    found = []
    for pattern in UNUSED:
        for parent, key, loc in list(find(raw, pattern)):
            del parent[key]
            found.append((origins.find(loc)[1], INSTEAD.get(pattern, "")))
    for pattern, remedy in HARMLESS_WHEN_BLANK.items():
        for parent, key, loc in list(find(raw, pattern)):
            if not is_blank(parent.pop(key)):
                problems.append(Problem(loc, "is not supported here", remedy))
    return found
