"""Section A: connecting. ``test_NNN_...`` is item NNN of the checklist; CONFORMANCE.md lists them all."""

import asyncio
import base64
import json
import re
from collections.abc import Callable

import pytest

from tests.support.site import Site

MakeSite = Callable[[str], Site]


async def test_001_the_url_of_pusher_js_is_upgraded(site: Site) -> None:
    async with site.dial(f"/app/{site.app.key}?protocol=7&client=js&version=8.6.0&flash=false") as client:
        assert client.connection.response is not None
        assert client.connection.response.status_code == 101


async def test_002_the_first_frame_has_exactly_event_and_data(site: Site) -> None:
    async with site.dial(f"/app/{site.app.key}?protocol=7") as client:
        frame = await client.receive()
        assert set(frame.message) == {"event", "data"}
        assert frame.event == "pusher:connection_established"


async def test_003_its_data_is_a_json_string_with_socket_id_and_activity_timeout(site: Site) -> None:
    async with site.dial(f"/app/{site.app.key}?protocol=7") as client:
        data = json.loads((await client.receive()).text)
        assert set(data) == {"socket_id", "activity_timeout"}
        assert isinstance(data["socket_id"], str)
        assert isinstance(data["activity_timeout"], int)


async def test_004_the_socket_id_is_two_numbers_with_a_dot(site: Site) -> None:
    async with site.connect() as client:
        assert re.fullmatch(r"\d+\.\d+", client.socket_id)


async def test_005_activity_timeout_is_120_by_default(site: Site) -> None:
    async with site.connect() as client:
        assert client.activity_timeout == 120
        assert type(client.activity_timeout) is int


async def _socket_ids(site: Site, count: int) -> list[str]:
    """Connect ``count`` times one after the other, with as little of a client as will do, and return the ids."""
    ids = []
    key = base64.b64encode(b"sixteen bytes ok").decode()
    request = (
        f"GET /app/{site.app.key}?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
    for _ in range(count):
        reader, writer = await asyncio.open_connection(site.server.host, site.server.port)
        writer.write(request)
        received = await reader.readuntil(b"}")
        found = re.search(rb'socket_id\\?":\\?"([0-9.]+)', received)
        assert found, received
        ids.append(found[1].decode())
        writer.transport.abort()
    return ids


async def test_006_ten_thousand_connections_get_different_socket_ids(site: Site) -> None:
    async with asyncio.timeout(60):
        lanes = await asyncio.gather(*(_socket_ids(site, 500) for _ in range(20)))
    ids = [one for lane in lanes for one in lane]
    assert len(ids) == 10_000
    assert len(set(ids)) == 10_000


async def test_007_no_query_string_at_all_connects(site: Site) -> None:
    async with site.connect(query=""):
        pass


@pytest.mark.parametrize("protocol", ["4", "5", "6"])
async def test_008_protocols_4_to_6_connect(site: Site, protocol: str) -> None:
    async with site.connect(query=f"protocol={protocol}"):
        pass


@pytest.mark.parametrize("protocol", ["1", "2", "3"])
async def test_009_protocols_1_to_3_are_refused_with_4007(site: Site, protocol: str) -> None:
    async with site.dial(f"/app/{site.app.key}?protocol={protocol}") as client:
        await client.expect_fatal(4007, "Unsupported protocol version")


@pytest.mark.parametrize("protocol", ["8", "abc", "", "7.0", "-7"])
async def test_010_other_protocols_are_refused_with_4007(site: Site, protocol: str) -> None:
    async with site.dial(f"/app/{site.app.key}?protocol={protocol}") as client:
        await client.expect_fatal(4007, "Unsupported protocol version")


@pytest.mark.parametrize(
    "query", ["client=swift&version=1&protocol=7", "foo=1&protocol=7&bar", "t=1&n=2&protocol=7&flash=false&x=%20"]
)
async def test_011_parameters_come_in_any_order_and_unknown_ones_are_ignored(site: Site, query: str) -> None:
    async with site.connect(query=query):
        pass


async def test_012_an_unknown_key_is_upgraded_and_then_closed_with_4001(site: Site) -> None:
    async with site.dial("/app/nobody-has-this-key?protocol=7") as client:
        await client.expect_fatal(4001)


@pytest.mark.parametrize("path", ["/app/?protocol=7", "/app?protocol=7", "/nowhere?protocol=7"])
async def test_013_a_path_without_a_key_is_upgraded_and_then_closed_with_4005(site: Site, path: str) -> None:
    async with site.dial(path) as client:
        await client.expect_fatal(4005, "Path not found")


async def test_014_a_disabled_app_refuses_with_4003(make_site: MakeSite) -> None:
    site = make_site("disabled")
    async with site.dial(f"/app/{site.app.key}?protocol=7") as client:
        await client.expect_fatal(4003, "Application disabled")


async def test_015_over_max_connections_refuses_with_4004_until_somebody_leaves(make_site: MakeSite) -> None:
    site = make_site("quota")
    path = f"/app/{site.app.key}?protocol=7"
    async with site.connect(), site.dial(path) as refused:
        await refused.expect_fatal(4004, "over connection quota")

    async def fits() -> bool:
        async with site.dial(path) as client:
            return (await client.receive()).event == "pusher:connection_established"

    for _ in range(1000):  # the server hears of the goodbye a moment later
        if await fits():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the place of the one who left was not given to anybody")


async def test_016_a_tls_only_app_refuses_plain_connections_with_4000(make_site: MakeSite) -> None:
    site = make_site("tls_only")
    async with site.dial(f"/app/{site.app.key}?protocol=7") as client:
        await client.expect_fatal(4000, "SSL")


async def test_018_a_long_message_is_cut_to_123_bytes_of_valid_utf_8_in_the_close_reason(site: Site) -> None:
    async with site.dial(f"/app/{'k' * 200}?protocol=7") as client:
        frame = await client.expect_error(code=4001)
        closed = await client.closed()
        assert closed.code == 4001
        assert len(closed.reason.encode()) <= 123
        assert frame.data["message"].startswith(closed.reason)
        assert closed.reason


async def test_018_the_close_reason_is_the_error_message(site: Site) -> None:
    async with site.dial("/app/?protocol=7") as client:
        frame = await client.expect_error(code=4005)
        assert (await client.closed()).reason == frame.data["message"]


@pytest.mark.parametrize(
    ("kind", "key", "query", "code"),
    [
        ("tls_only", None, "protocol=7", 4000),
        ("plain", "unknown-key", "protocol=7", 4001),
        ("disabled", None, "protocol=7", 4003),
        ("plain", "", "protocol=7", 4005),
        ("plain", None, "protocol=2", 4007),
        ("origins", None, "protocol=7", 4009),
    ],
)
async def test_019_the_error_comes_before_the_close_and_its_data_is_an_object(
    make_site: MakeSite, kind: str, key: str | None, query: str, code: int
) -> None:
    site = make_site(kind)
    async with site.dial(f"/app/{site.app.key if key is None else key}?{query}") as client:
        frame = await client.receive()
        assert frame.event == "pusher:error"
        assert isinstance(frame.message["data"], dict)
        assert frame.data["code"] == code
        assert (await client.closed()).code == code


async def test_020_nothing_precedes_connection_established(site: Site) -> None:
    async with site.connect() as client:
        assert [frame.event for frame in client.frames] == ["pusher:connection_established"]
        await client.quiet()


async def test_022_a_binary_frame_is_an_error_and_never_a_crash(site: Site) -> None:
    async with site.connect() as client:
        await client.send(b'{"event":"pusher:ping","data":{}}')
        await client.expect_error()
        await client.quiet()


@pytest.mark.parametrize("text", ["not json", "[]", '"x"', "{}", '{"event":5}', "null", "", "1e999", "{" * 2000])
async def test_023_a_message_without_an_event_is_an_error_and_the_connection_lives(site: Site, text: str) -> None:
    async with site.connect() as client:
        await client.send(text)
        await client.expect_error()
        await client.quiet()


async def test_024_a_frame_over_the_cap_closes_with_1009(site: Site) -> None:
    async with site.connect() as client:
        await client.send(json.dumps({"event": "pusher:ping", "data": "x" * 300_000}))
        assert (await client.closed()).code == 1009


async def test_026_an_origin_that_is_not_allowed_is_refused_with_4009(make_site: MakeSite) -> None:
    site = make_site("origins")
    path = f"/app/{site.app.key}?protocol=7"
    async with site.dial(path, origin="https://evil.example") as client:
        await client.expect_fatal(4009)
    async with site.connect(origin="https://good.example"):
        pass
