"""Section L: batches."""

from typing import Any

import pytest

from tests.support.client import member
from tests.support.site import Site


def one(name: str, channel: str = "c", **more: Any) -> dict[str, Any]:
    return {"name": name, "channel": channel, "data": "{}", **more}


async def test_178_a_batch_is_delivered_in_order(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("c")
        response = site.api.post("/batch_events", {"batch": [one("first"), one("second")]})
        assert (response.status, response.body) == (200, b"{}")
        assert [frame.event for frame in await client.barrier()] == ["first", "second"]


@pytest.mark.parametrize(("number", "status"), [(10, 200), (11, 400)])
async def test_178_a_batch_has_at_most_ten_events(site: Site, number: int, status: int) -> None:
    async with site.connect() as client:
        await client.subscribe("c")
        response = site.api.post("/batch_events", {"batch": [one(f"e{index}") for index in range(number)]})
        assert response.status == status
        assert len(await client.barrier()) == (number if status == 200 else 0)


@pytest.mark.parametrize("batch", [None, {}, "x", [5], [{}], [None]])
def test_178_a_malformed_batch_is_refused(site: Site, batch: Any) -> None:
    response = site.api.post("/batch_events", {"batch": batch})
    assert response.status == 400
    assert response.text.endswith("\n")


async def test_179_info_of_a_batch_is_aligned_with_its_events(counted: Site) -> None:
    async with counted.connect() as client:
        await client.subscribe("presence-a", member("1"))
        await client.subscribe("b")
        batch = [
            one("e", "presence-a", info="user_count"),
            one("e", "b"),
            one("e", "b", info="subscription_count"),
        ]
        response = counted.api.post("/batch_events", {"batch": batch})
        assert response.status == 200
        assert response.json == {"batch": [{"user_count": 1}, {}, {"subscription_count": 1}]}


@pytest.mark.parametrize(
    ("bad", "status"),
    [({"data": "x" * 10241}, 413), ({"name": "pusher:x"}, 400), ({"channel": "no good"}, 400), ({"name": 5}, 400)],
)
async def test_180_one_bad_event_keeps_the_whole_batch_from_being_delivered(
    site: Site, bad: dict[str, Any], status: int
) -> None:
    async with site.connect() as client:
        await client.subscribe("c")
        response = site.api.post("/batch_events", {"batch": [one("good"), one("bad") | bad]})
        assert response.status == status
        assert response.text.endswith("\n")
        await client.quiet()


async def test_181_each_event_of_a_batch_excludes_its_own_socket(site: Site) -> None:
    async with site.connect() as first, site.connect() as second:
        await first.subscribe("c")
        await second.subscribe("c")
        batch = [one("not-first", socket_id=first.socket_id), one("not-second", socket_id=second.socket_id)]
        assert site.api.post("/batch_events", {"batch": batch}).status == 200
        assert [frame.event for frame in await first.barrier()] == ["not-second"]
        assert [frame.event for frame in await second.barrier()] == ["not-first"]
