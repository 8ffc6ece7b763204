"""What docs/moving/differences.md tells receivers to do holds."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from sockudo_py.apps.definition import define_apps
from sockudo_py.changes import (
    CacheMissed,
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    MemberAdded,
    MemberRemoved,
    SubscriptionCountChanged,
)
from sockudo_py.config import load
from sockudo_py.endpoints import Endpoint
from sockudo_py.protocol.channels.table import classify
from sockudo_py.protocol.readers.opening import PROTOCOL_VERSIONS
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.validation import endpoint_problems
from sockudo_py.webhooks.events import event_of, pusher_style
from tests.unit.webhooks.make import NOW_MS

DOCUMENT = (Path(__file__).parents[3] / "docs" / "moving" / "differences.md").read_text()
APP = "app-1"
CHANNELS = [
    "news",
    "cache-news",
    "private-news",
    "private-cache-news",
    "presence-news",
    "presence-cache-news",
    "private-encrypted-news",
    "private-encrypted-cache-news",
    "private-encryption",
    "my-private-encrypted-news",
]


@pytest.fixture
def recipe(tmp_path: Path) -> list[Endpoint]:
    """The endpoints of the recipe for SDKs that throw at encrypted channels."""
    [text] = re.findall(r"^```json\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    app = {"id": APP, "key": "key", "secret": "secret", **json.loads(text)}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"app_manager": {"array": {"apps": [app]}}}))
    [definition] = define_apps(load(file, {}), endpoint_problems)
    return list(definition.endpoints)


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_recipe_keeps_encrypted_channels_away_from_one_endpoint_and_sends_them_to_the_other(
    recipe: list[Endpoint], channel: str
) -> None:
    everything, encrypted = recipe
    registry = EndpointRegistry()
    registry.replace(APP, "config", recipe)
    expected = encrypted if classify(channel).encrypted else everything
    for audience in registry.routes[APP].values():
        assert audience.hearing(channel) == (expected.uid,)


def test_the_recipe_hears_of_every_kind_of_change_in_a_channel(recipe: list[Endpoint]) -> None:
    registry = EndpointRegistry()
    registry.replace(APP, "config", recipe)
    kinds = {kind for kind in get_args(Change) if "channel" in kind.__dataclass_fields__}
    assert kinds == set(registry.routes[APP])


@pytest.mark.parametrize(
    "change",
    [
        ChannelOccupied(APP, "c"),
        ChannelVacated(APP, "c"),
        MemberAdded(APP, "presence-c", "7", "1.1", '{"age":7}'),
        MemberRemoved(APP, "presence-c", "7", "1.1"),
        ClientEventSent(APP, "presence-c", "client-e", '{"n":1}', "1.1", "7"),
        ClientEventSent(APP, "private-c", "client-e", "7", "1.1", None),
        CacheMissed(APP, "cache-c"),
    ],
)
def test_pushers_payload_holds_nothing_but_strings(change: Change) -> None:
    event: dict[str, Any] = pusher_style(event_of(change, NOW_MS))
    assert all(isinstance(value, str) for value in event.values())


def test_pushers_payload_of_subscription_count_holds_a_number() -> None:
    event = pusher_style(event_of(SubscriptionCountChanged(APP, "c", 3), NOW_MS))
    assert event["subscription_count"] == 3
    assert "without `subscription_count`" in DOCUMENT


def test_sockudos_second_protocol_and_what_its_kotlin_sdk_calls_the_first_are_refused() -> None:
    assert not {"1", "2"} & PROTOCOL_VERSIONS
    assert "7" in PROTOCOL_VERSIONS  # what the other SDKs send with V1
