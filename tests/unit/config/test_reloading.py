"""What a changed configuration means for a running server."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from sockudo_py.config import Config
from sockudo_py.config.reloading import RELOADED, needs_restart, reloaded

APP = {"id": "1", "key": "k", "secret": "s"}


def config(**settings: object) -> Config:
    return Config.model_validate({"app_manager": {"array": {"apps": [APP]}}, **settings})


def keys(section: type[BaseModel], place: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield f"{place}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{place}{name}.")


def test_each_key_that_a_reload_takes_up_exists() -> None:
    assert set(RELOADED) <= set(keys(Config))


def test_keys_that_can_be_reloaded_come_from_the_new_configuration_and_all_others_from_the_running_one() -> None:
    running = config(
        port=1, ssl={"enabled": False, "cert_path": "a"}, webhooks={"vacate_delay_ms": 5, "payload": "seed"}
    )
    new = config(
        port=2,
        debug=True,
        ssl={"enabled": True, "cert_path": "b", "key_path": "b"},
        webhooks={"vacate_delay_ms": 6, "payload": "pusher"},
    )
    held = reloaded(running, new)
    assert (held.port, held.debug) == (1, True)
    assert (held.ssl.enabled, held.ssl.cert_path) == (False, "b")
    assert (held.webhooks.vacate_delay_ms, held.webhooks.payload) == (5, "pusher")


def test_what_only_a_restart_takes_up_is_named_key_by_key() -> None:
    running = config()
    new = config(port=2, debug=True, ssl={"enabled": True}, webhooks={"vacate_delay_ms": 6}, queue={"driver": "memory"})
    assert [line.split(": ")[1] for line in needs_restart(running, new)] == [
        "port",
        "ssl.enabled",
        "queue.driver",
        "webhooks.vacate_delay_ms",
    ]


@pytest.mark.parametrize("settings", [{}, {"debug": True, "logging": {"level": "error"}}])
def test_nothing_is_named_that_is_as_it_was_or_is_taken_up(settings: dict[str, object]) -> None:
    assert needs_restart(config(), config(**settings)) == []
