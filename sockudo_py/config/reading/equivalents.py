"""Values that mean the same as others: null and blank ones, words in another case, and the words of other servers."""

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from sockudo_py.config.problems import Origins, choices, item_type

# What other programs call one of our words. It counts where the word is allowed and the synonym itself is not.
SYNONYMS: Mapping[str, str] = {
    # levels of the log, of PHP, Rust and syslog
    "trace": "debug",
    "verbose": "debug",
    "notice": "info",
    "warn": "warning",
    "err": "error",
    "crit": "error",
    "critical": "error",
    "alert": "error",
    "emerg": "error",
    "emergency": "error",
    "fatal": "error",
    "panic": "error",
    # formats of the log
    "console": "human",
    "plain": "human",
    "pretty": "human",
    "text": "human",
    # drivers
    "in_memory": "memory",
    "inmemory": "memory",
    "local": "memory",
    "sync": "memory",
    "sqlite3": "sqlite",
    "inline": "array",
    "pgsql": "postgres",
    "postgresql": "postgres",
    "mariadb": "mysql",
    "dynamo": "dynamodb",
    # MySQL's modes of TLS
    "disabled": "disable",
    "preferred": "prefer",
    "required": "require",
    "verify_identity": "verify_full",
}
DRIVERS = ("adapter", "cache", "queue", "rate_limiter")  # sections with drivers that may be in Redis


def unify(raw: dict[str, Any], model: type[BaseModel], origins: Origins, warnings: list[str]) -> None:
    """Bring the values of a document into their one form, in place. Null and blank ones are removed: not given.

    Blank is an empty text where null is the default, or where a number, a flag or one of several words is wanted.
    """
    _redis_clusters(raw)
    queue = raw.get("queue")
    if isinstance(queue, dict) and _folded(queue.get("driver")) == "sync":
        place = origins.place(("queue", "driver"))
        warnings.append(f"{place}: sync is taken as memory: a crash loses the webhooks that wait; sqlite keeps them")
    _unify(raw, model)


def _unify(section: dict[str, Any], model: type[BaseModel]) -> None:
    for name, info in model.model_fields.items():
        key = info.alias or name
        if key not in section:
            continue
        value = section[key]
        if value is None or (value == "" and (info.default is None or not _is_text(info.annotation))):
            del section[key]
            continue
        inner = item_type(info.annotation)
        if inner is not None:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    _unify(item, inner)
        elif words := choices(info.annotation):
            section[key] = [_word(item, words) for item in value] if isinstance(value, list) else _word(value, words)


def _is_text(annotation: Any) -> bool:
    return annotation in (str, SecretStr) or any(_is_text(argument) for argument in get_args(annotation))


def _word(value: Any, words: tuple[str, ...]) -> Any:
    if not isinstance(value, str):
        return value
    folded = _folded(value)
    by_fold = {_folded(word): word for word in words}
    return by_fold.get(folded) or by_fold.get(SYNONYMS.get(str(folded)), value)


def _folded(value: Any) -> str | None:
    return re.sub(r"[-\s]", "_", value.strip().lower()) if isinstance(value, str) else None


def _redis_clusters(raw: dict[str, Any]) -> None:
    """The driver ``redis-cluster`` of Sockudo is here the driver ``redis`` with ``cluster_mode``."""
    for name in DRIVERS:
        section = raw.get(name)
        if not isinstance(section, dict) or _folded(section.get("driver")) != "redis_cluster":
            continue
        section["driver"] = "redis"
        if section.get("redis") is None:
            section["redis"] = {}
        if isinstance(section["redis"], dict):
            section["redis"]["cluster_mode"] = True
