"""Which keys a running server can reload, and what a changed configuration means for it."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from sockudo_py.config.model import Config

RELOADED = (
    "app_manager",
    "channel_limits",
    "database.dynamodb",
    "database.mysql",
    "database.postgres",
    "debug",
    "drain_delay",
    "event_limits",
    "logging",
    "mode",
    "presence",
    "shutdown_grace_period",
    "ssl.cert_path",
    "ssl.key_path",
    "ssl.passphrase",
    "user_authentication_timeout",
    "webhooks.admin.api_keys",
    "webhooks.admin.rate_limit",
    "webhooks.auto_disable.on_410",
    "webhooks.batching",
    "webhooks.connect_timeout_ms",
    "webhooks.delivery.max_in_flight_per_endpoint",
    "webhooks.delivery.ordering",
    "webhooks.payload",
    "webhooks.request_timeout_ms",
    "webhooks.retry",
    "webhooks.signature",
)


def reloaded(running: Config, new: Config) -> Config:
    """Return what holds after a reload: of ``new`` the keys below ``RELOADED``, of ``running`` all others."""
    taken: Config = _merged(running, new, "")
    return taken


def needs_restart(running: Config, new: Config) -> list[str]:
    """Return a line for each key that is different in ``new`` and that only a restart takes up."""
    keys = _differences(running, reloaded(new, running), "")
    return [new.problem(key, "is not taken up by a reload", "restart the server for it") for key in keys]


def _merged(running: Any, new: Any, place: str) -> Any:
    update = {}
    for name in type(new).model_fields:
        key = f"{place}{name}"
        if key in RELOADED:
            continue
        kept = getattr(running, name)
        within = isinstance(kept, BaseModel) and any(each.startswith(f"{key}.") for each in RELOADED)
        update[name] = _merged(kept, getattr(new, name), f"{key}.") if within else kept
    return new.model_copy(update=update)


def _differences(one: BaseModel, other: BaseModel, place: str) -> Iterator[str]:
    for name in type(one).model_fields:
        mine, yours = getattr(one, name), getattr(other, name)
        if isinstance(mine, BaseModel) and isinstance(yours, BaseModel):
            yield from _differences(mine, yours, f"{place}{name}.")
        elif mine != yours:
            yield f"{place}{name}"
