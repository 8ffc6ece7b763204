"""``sockudo-py apps | channels | publish | why | tail`` against a running server: by its socket, and by URL and key."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator

import pytest

from tests.support.client import connected, member
from tests.support.management import KEY, managed
from tests.support.server import Server, TestApp, app_config, running, server_config

APP = TestApp("shop", "shop-key", "shop-secret-1234")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    settings = managed()
    settings["admin"]["socket"] = str(folder / "admin.sock")
    with running(server_config(app_config(APP), webhooks=settings, path_prefix="/rt"), folder) as server:
        yield server


@pytest.fixture(params=["socket", "url"])
def place(server: Server, request: pytest.FixtureRequest) -> list[str]:
    if request.param == "url":
        return ["--url", f"http://{server.host}:{server.port}/rt"]
    file = server.log_path.parent / "asked.json"
    file.write_text(json.dumps(server.config))
    return ["--config", str(file)]


async def command(*words: str, key: str = KEY, text: bytes = b"") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sockudo_py",
        *words,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={"SOCKUDO_ADMIN_KEY": key, "PYTHONPATH": ":".join(sys.path)},
    )
    out, err = await process.communicate(text)
    return process.returncode or 0, out.decode(), err.decode()


async def test_apps_and_channels(server: Server, place: list[str]) -> None:
    async with connected(server, APP) as client:
        await client.subscribe("presence-room", member("1"))
        code, out, err = await command("apps", *place)
        assert (code, err) == (0, "")
        assert "shop" in out.splitlines()[1]
        code, out, _ = await command("channels", "shop", "presence-", *place, "--json")
        assert code == 0
        assert json.loads(out)["channels"] == [{"channel": "presence-room", "subscription_count": 1, "user_count": 1}]
        code, _, err = await command("channels", "nobody", *place)
        assert (code, err) == (1, "there is no such app\n")


async def test_publish_says_how_many_got_it(server: Server, place: list[str]) -> None:
    async with connected(server, APP) as client:
        await client.subscribe("clock")
        code, out, _ = await command("publish", "shop", "clock", "tick", "-", *place, text=b'{"at":7}')
        assert (code, out) == (0, "sent to 1 subscriber\n")
        assert (await client.expect("tick")).data == {"at": 7}
    code, _, err = await command("publish", "shop", "no channel?", "tick", *place)
    assert code == 1
    assert "is no name of a channel" in err


async def test_why_names_cause_and_remedy(server: Server, place: list[str]) -> None:
    async with connected(server, APP) as client:
        await client.send({"event": "pusher:subscribe", "data": {"channel": "private-why"}})
        await client.expect_error()
        code, out, _ = await command("why", "private-why", *place)
        assert code == 0
        assert "cause:  The client asked for a private" in out
        assert "remedy: " in out
        code, out, _ = await command("why", client.socket_id, *place, "--json")
        assert json.loads(out)[0]["name"] == "no_auth"
    code, out, _ = await command("why", "private-nothing", *place)
    assert (code, out) == (1, "nothing was refused to private-nothing\n")


async def test_tail_shows_what_happens(server: Server, place: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sockudo_py", "tail", "--json", "--channel", "tailed-", *place),
        stdout=PIPE,
        env={"SOCKUDO_ADMIN_KEY": KEY, "PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    try:
        async with connected(server, APP) as client, asyncio.timeout(60):
            line = asyncio.create_task(process.stdout.readline())
            while not line.done():  # it may not follow yet
                await client.subscribe("tailed-1")
                await client.unsubscribe("tailed-1")
                await asyncio.wait({line}, timeout=0.1)
            row = json.loads(line.result())
            assert row["channel"] == "tailed-1"
            assert row["kind"] in ("subscribe", "unsubscribe")
    finally:
        process.kill()
        await process.wait()


async def test_a_wrong_key_and_no_key_are_said(server: Server) -> None:
    url = ["--url", f"http://{server.host}:{server.port}/rt"]
    code, _, err = await command("apps", *url, key="wrong")
    assert code == 1
    assert "unknown" in err
    code, _, err = await command("apps", *url, key="")
    assert code == 2
    assert err.startswith("SOCKUDO_ADMIN_KEY: is missing")
    code, _, err = await command("apps", "--url", "ftp://x", key="k")
    assert code == 2
    code, _, err = await command("apps", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "gave no answer" in err
