"""Section I: watchlists and connections that have to authorise themselves."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.client import Client, Frame
from tests.support.site import Site, private_site

EVENTS = "pusher_internal:watchlist_events"
SUCCEEDED = "pusher_internal:subscription_succeeded"


@pytest.fixture
def watched(make_site: Callable[[str], Site]) -> Site:
    return make_site("watched")


def seen(frames: list[Frame]) -> dict[str, set[str]]:
    """Return who was reported online and offline."""
    found: dict[str, set[str]] = {"online": set(), "offline": set()}
    for frame in frames:
        assert frame.event == EVENTS, frame.raw
        assert set(frame.message) == {"event", "data"}
        for event in frame.data["events"]:
            found[event["name"]] |= set(event["user_ids"])
    return found


async def test_136_the_present_state_comes_after_sign_in(watched: Site) -> None:
    async with watched.connect() as friend, watched.connect() as client:
        await friend.sign_in("2")
        await client.sign_in("1", watchlist=["2", "3"])
        assert seen(await client.barrier()) == {"online": {"2"}, "offline": {"3"}}
        await friend.quiet()


async def test_137_online_with_the_first_connection_and_offline_with_the_last(watched: Site) -> None:
    async with watched.connect() as client:
        await client.sign_in("1", watchlist=["3"])
        await client.barrier()
        async with watched.connect() as first:
            await first.sign_in("3")
            assert seen([await client.receive()]) == {"online": {"3"}, "offline": set()}
            async with watched.connect() as second:
                await second.sign_in("3")
                await client.quiet()
                await second.sign_in("3")
                await client.quiet()
        assert seen([await client.receive()]) == {"online": set(), "offline": {"3"}}
        await client.quiet()


async def test_138_the_101st_user_is_not_watched(watched: Site) -> None:
    async with watched.connect() as client, watched.connect() as late, watched.connect() as friend:
        await client.sign_in("me", watchlist=[str(number) for number in range(101)])
        frames = await client.barrier()
        errors = [frame for frame in frames if frame.event == "pusher:error"]
        assert [frame.data["code"] for frame in errors] == [4302]
        assert "Only the first 100" in errors[0].data["message"]
        await late.sign_in("100")
        await client.quiet()
        await friend.sign_in("99")
        assert seen([await client.receive()])["online"] == {"99"}


async def test_136_without_the_feature_a_watchlist_is_silent(site: Site) -> None:
    async with site.connect() as friend, site.connect() as client:
        await friend.sign_in("2")
        await client.sign_in("1", watchlist=["2", "3"])
        await client.quiet()


@pytest.fixture(scope="module")
def wary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server whose app gives connections a second to authorise themselves."""
    folder = tmp_path_factory.mktemp("wary")
    with private_site(folder, {"enable_authorized_connections": True}, user_authentication_timeout=1) as site:
        yield site


async def test_142_only_connections_that_authorised_themselves_stay(wary: Site) -> None:
    since = time.monotonic()
    async with (
        wary.connect() as idle,
        wary.connect() as public,
        wary.connect() as refused,
        wary.connect() as user,
        wary.connect() as private,
    ):
        await public.subscribe("public")
        await refused.ask("private-x", auth=f"{wary.app.key}:{'0' * 64}")
        await refused.expect_refused("private-x")
        await user.sign_in("u1")
        await private.subscribe("private-x")
        stopped: list[Client] = [idle, public, refused]
        for client in stopped:
            await client.expect_fatal(4009)
        assert time.monotonic() - since > 0.75
        await user.quiet()
        await private.quiet()
