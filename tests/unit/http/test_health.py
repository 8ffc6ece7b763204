import json
from collections.abc import Mapping

import pytest

from sockudo_py import __version__
from sockudo_py.errors import Unavailable
from sockudo_py.http.handlers.health import Health
from tests.unit.http.support import APP, OTHER, World, text


def test_up_says_ok(world: World) -> None:
    answer = Health(node=world.node, apps=world.apps, metrics=world.metrics, checks={"queue": lambda: True}).up()
    assert (answer.status, answer.body) == (200, b"OK")
    assert ("Cache-Control", "no-store") in answer.headers


def test_up_says_draining_while_clients_are_sent_away(world: World) -> None:
    health = Health(node=world.node, apps=world.apps, metrics=world.metrics)
    world.node.draining = True
    assert (health.up().status, text(health.up())) == (503, "draining\n")


def test_up_says_draining_from_the_moment_that_the_server_is_about_to_leave(world: World) -> None:
    health = Health(node=world.node, apps=world.apps, metrics=world.metrics)
    assert health.up().status == 200
    health.leave()
    assert (health.up().status, text(health.up())) == (503, "draining\n")
    assert health.live().status == 200


def test_up_names_every_part_that_is_ill_and_goes_on_taking_clients(world: World) -> None:
    checks = {"adapter": lambda: False, "cache": lambda: True, "queue": lambda: False}
    health = Health(node=world.node, apps=world.apps, metrics=world.metrics, checks=checks)
    answer = health.up()
    assert (answer.status, answer.body) == (200, b"degraded: adapter, queue\n")
    world.node.draining = True
    assert health.up().status == 503


@pytest.mark.parametrize(("app_id", "status"), [("3", 403), ("4", 200), ("5", 404), ("", 404)])
def test_up_of_an_app_tells_whether_it_can_be_used(world: World, app_id: str, status: int) -> None:
    world.configure(enabled=False)
    assert Health(node=world.node, apps=world.apps, metrics=world.metrics).up_app(app_id).status == status


def test_up_of_an_app_is_draining_with_its_node(world: World) -> None:
    world.node.draining = True
    assert Health(node=world.node, apps=world.apps, metrics=world.metrics).up_app("3").status == 503


def test_accept_traffic_is_503_only_while_clients_are_sent_away(world: World) -> None:
    health = Health(node=world.node, apps=world.apps, metrics=world.metrics, checks={"adapter": lambda: False})
    assert (health.accept_traffic().status, health.accept_traffic().body) == (200, b"OK")
    health.leave()
    assert (health.accept_traffic().status, text(health.accept_traffic())) == (503, "draining\n")


def test_live_is_ok_whatever_is_ill(world: World) -> None:
    world.node.draining = True
    health = Health(node=world.node, apps=world.apps, metrics=world.metrics, checks={"adapter": lambda: False})
    assert health.live().status == 200


async def test_usage_shows_memory_connections_channels_and_uptime(world: World) -> None:
    times = iter([100.0, 160.5])
    health = Health(node=world.node, apps=world.apps, metrics=world.metrics, clock=lambda: next(times))
    world.node.connected = 7
    world.metrics.app(APP.id).channels = 3
    world.metrics.app(APP.id).subscriptions = 5
    usage = json.loads((await health.usage()).body)
    memory = usage.pop("memory")
    assert usage == {
        "version": __version__,
        "uptime_seconds": 60.5,
        "connections": {"total": 7, "apps": {APP.id: 7}},
        "channels": 3,
        "subscriptions": 5,
    }
    assert 1_000_000 < memory["rss"] <= memory["total"]
    assert OTHER.id not in usage["connections"]["apps"]


async def test_usage_shows_the_webhooks_section_as_it_is_given(world: World) -> None:
    async def webhooks() -> Mapping[str, object]:
        return {"endpoints": [], "webhook_success_rate": "95%", "queue_depth": 12}

    health = Health(node=world.node, apps=world.apps, metrics=world.metrics, webhooks=webhooks)
    usage = json.loads((await health.usage()).body)
    assert usage["webhooks"] == {"endpoints": [], "webhook_success_rate": "95%", "queue_depth": 12}


async def test_usage_shows_the_figures_of_the_cluster_where_there_is_one(world: World) -> None:
    health = Health(node=world.node, apps=world.apps, metrics=world.metrics, cluster=lambda: {"nodes": 3})
    assert json.loads((await health.usage()).body)["cluster"] == {"nodes": 3}


async def test_usage_is_answered_while_the_webhook_store_is_away(world: World) -> None:
    async def webhooks() -> Mapping[str, object]:
        raise Unavailable("redis://10.0.0.1: refused")

    health = Health(node=world.node, apps=world.apps, metrics=world.metrics, webhooks=webhooks)
    answer = await health.usage()
    assert answer.status == 200
    assert b"10.0.0.1" not in answer.body
    assert json.loads(answer.body)["webhooks"] == {"error": "the webhook store can't be reached right now"}
