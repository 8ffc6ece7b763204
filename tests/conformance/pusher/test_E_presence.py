"""Section E: presence channels, as one connection sees them."""

import json

import pytest

from sockudo_py.protocol.signatures import channel_string, sign
from tests.support.client import Client, eventually, member
from tests.support.server import SECRET
from tests.support.site import Site

ROOM = "presence-room"
SUCCEEDED = "pusher_internal:subscription_succeeded"


async def refused(client: Client, channel_data: str | None) -> None:
    """Fail unless a rightly signed subscribe with this channel_data is refused without harm."""
    await client.ask(ROOM, channel_data)
    frames = await client.barrier()
    assert [frame.data["code"] for frame in frames if frame.event == "pusher:error"] == [None]
    assert SUCCEEDED not in [frame.event for frame in frames]


async def test_071_the_first_member_sees_itself(site: Site) -> None:
    async with site.connect() as client:
        frame = await client.subscribe(ROOM, member(10, name="Mr. Pusher"))
        assert frame.data == {"presence": {"count": 1, "ids": ["10"], "hash": {"10": {"name": "Mr. Pusher"}}}}
        assert set(frame.message) == {"event", "data", "channel"}


@pytest.mark.parametrize(
    ("number", "channel_data", "digest"),
    [
        (
            "072",
            '{"user_id":10,"user_info":{"name":"Mr. Pusher"}}',
            "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c",
        ),
        (
            "072",
            '{"user_id":"10","user_info":{"name":"Mr. Pusher"}}',
            "48dac51d2d7569e1e9c0f48c227d4b26f238fa68e5c0bb04222c966909c4f7c4",
        ),
        (
            "073",
            '{"user_id":10,"user_info":{"name":"Mr. Channels"}}',
            "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
        ),
        ("078", None, "71506e66e7fdca106571b8999a849ad34245bc653772e51e0026c1a2475b92ba"),
    ],
)
def test_072_073_the_published_vectors_of_presence(number: str, channel_data: str | None, digest: str) -> None:
    text = channel_string("1234.1234", "presence-foobar", channel_data)
    assert sign(SECRET.encode(), text) == digest, number


async def test_074_a_numeric_user_id_becomes_a_string(site: Site) -> None:
    async with site.connect() as client:
        presence = (await client.subscribe(ROOM, member(669, name="A"))).data["presence"]
        assert presence["ids"] == ["669"]
        assert list(presence["hash"]) == ["669"]


async def test_075_a_member_without_user_info_has_null(site: Site) -> None:
    async with site.connect() as client:
        frame = await client.subscribe(ROOM, member(669))
        assert frame.data["presence"]["hash"] == {"669": None}
        assert '\\"hash\\":{\\"669\\":null}' in frame.raw


@pytest.mark.parametrize(
    "channel_data",
    [
        '{ "user_id" : "1" }',
        '{"user_id": 1, "user_info": {"name": "J\\u00fcrgen"}}',
        '{"user_info":{"b":1,"a":2},"user_id":"1","more":[1, 2]}',
        '\n{"user_id":"1"}\t',
        '{"user_id":"1","user_info":{"name":"é ☃ 🎉 / \\/"}}',
    ],
)
async def test_076_the_signature_is_over_the_exact_channel_data(site: Site, channel_data: str) -> None:
    async with site.connect() as client:
        assert (await client.subscribe(ROOM, channel_data)).data["presence"]["ids"] == ["1"]


async def test_076_equal_channel_data_with_other_spaces_does_not_verify(site: Site) -> None:
    async with site.connect() as client:
        await client.ask(ROOM, '{"user_id":"1"}', auth=client.auth(ROOM, '{"user_id": "1"}'))
        await client.expect_refused(ROOM, "Invalid signature")


async def test_077_without_channel_data_and_not_signed_in_it_is_refused(site: Site) -> None:
    async with site.connect() as client:
        await refused(client, None)


async def test_078_a_signed_in_user_needs_no_channel_data(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("u1", user_info={"name": "Uma"})
        frame = await client.subscribe(ROOM)
        assert frame.data == {"presence": {"count": 1, "ids": ["u1"], "hash": {"u1": {"name": "Uma"}}}}


async def test_079_channel_data_wins_over_the_signed_in_user(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("u1", user_info={"name": "Uma"})
        frame = await client.subscribe(ROOM, member("other", name="O"))
        assert frame.data["presence"]["hash"] == {"other": {"name": "O"}}


@pytest.mark.parametrize(
    "channel_data",
    ["not json", "", "[]", '"10"', "{}", '{"user_info":{}}']
    + [f'{{"user_id":{bad}}}' for bad in ('""', "null", "true", "{}", "[]", "NaN")],
)
async def test_080_channel_data_without_a_usable_user_id_is_refused(site: Site, channel_data: str) -> None:
    async with site.connect() as client:
        await refused(client, channel_data)


async def test_081_the_others_see_a_new_member_and_the_new_member_does_not(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe(ROOM, member("1"))
        await two.subscribe(ROOM, member(2, name="B"))
        frame = await one.receive()
        assert set(frame.message) == {"event", "data", "channel"}
        assert frame.event == "pusher_internal:member_added"
        assert frame.channel == ROOM
        assert frame.data == {"user_id": "2", "user_info": {"name": "B"}}
        await two.quiet()
        await one.quiet()


async def test_082_the_joiner_finds_itself_in_the_list(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe(ROOM, member("1", name="A"))
        frame = await two.subscribe(ROOM, member("2"))
        presence = frame.data["presence"]
        assert presence["count"] == 2
        assert sorted(presence["ids"]) == ["1", "2"]
        assert presence["hash"] == {"1": {"name": "A"}, "2": None}


async def test_083_the_second_connection_of_a_user_is_silent(site: Site) -> None:
    async with site.connect() as one, site.connect() as two, site.connect() as again:
        await one.subscribe(ROOM, member("1"))
        await two.subscribe(ROOM, member("2"))
        await one.expect("pusher_internal:member_added")
        assert (await again.subscribe(ROOM, member("2"))).data["presence"]["count"] == 2
        await one.quiet()
        await two.quiet()
        await again.quiet()


async def test_084_one_of_two_connections_of_a_user_leaves_silently(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe(ROOM, member("1"))
        await two.subscribe(ROOM, member("2"))
        await one.expect("pusher_internal:member_added")
        async with site.connect() as again:
            await again.subscribe(ROOM, member("2"))
            await again.unsubscribe(ROOM)
            await again.quiet()
        await one.quiet()
        await two.quiet()
        assert site.api.users(ROOM) == ["1", "2"]


@pytest.mark.parametrize("how", ["unsubscribe", "close", "abort"])
async def test_085_086_the_last_connection_of_a_user_leaves_and_the_rest_hear_of_it(site: Site, how: str) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe(ROOM, member("1"))
        await two.subscribe(ROOM, member("2", name="B"))
        await one.expect("pusher_internal:member_added")
        if how == "unsubscribe":
            await two.unsubscribe(ROOM)
        elif how == "close":
            await two.close()
        else:
            two.abort()
        frame = await one.receive()
        assert frame.message == {
            "event": "pusher_internal:member_removed",
            "data": '{"user_id":"2"}',
            "channel": ROOM,
        }
        if how == "unsubscribe":
            await two.quiet()
        await eventually(lambda: site.api.users(ROOM) == ["1"], "the member is gone")


async def test_087_subscribing_twice_on_one_connection_makes_no_second_member(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe(ROOM, member("1"))
        await two.subscribe(ROOM, member("2"))
        await one.expect("pusher_internal:member_added")
        await two.ask(ROOM, member("2"))
        errors = [frame for frame in await two.barrier() if frame.event == "pusher:error"]
        assert [frame.data["code"] for frame in errors] == [None]
        assert "Existing subscription" in errors[0].data["message"]
        await one.quiet()
        await two.unsubscribe(ROOM)
        await one.expect("pusher_internal:member_removed", ROOM)
        assert site.api.users(ROOM) == ["1"]


async def test_090_count_ids_and_hash_agree(site: Site) -> None:
    async with site.connect() as one, site.connect() as two, site.connect() as three:
        for client, user in ((one, 1), (two, "2"), (three, 3)):
            presence = (await client.subscribe(ROOM, member(user))).data["presence"]
            assert presence["count"] == len(presence["ids"]) == len(presence["hash"])
            assert sorted(presence["ids"]) == sorted(presence["hash"])
            assert all(isinstance(one_id, str) for one_id in presence["ids"])


async def test_093_other_user_info_on_a_second_connection_changes_nothing(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe(ROOM, member("1", name="first"))
        frame = await two.subscribe(ROOM, member("1", name="second"))
        assert frame.data["presence"]["ids"] == ["1"]
        assert frame.data["presence"]["hash"] == {"1": {"name": "first"}}
        await one.quiet()


async def test_090_the_frame_is_one_json_document_inside_a_string(site: Site) -> None:
    async with site.connect() as client:
        frame = await client.subscribe(ROOM, member("1", name='quo"te\\ é'))
        assert json.loads(frame.text)["presence"]["hash"]["1"] == {"name": 'quo"te\\ é'}
