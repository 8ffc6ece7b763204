"""SIGHUP and renewed certificates: what a running server takes up anew, and that nobody is dropped for it."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from benchmarks.crowd import Crowd
from tests.support.client import Client, connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.server import Config, Server, TestApp, app_config, running, server_config

APP = TestApp()
CROWD = 1_000


class Pair:
    """A certificate and its key in two files, as ``ssl`` of the configuration names them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.trust = ssl.create_default_context()
        self.authority.configure_trust(self.trust)

    @property
    def config(self) -> Config:
        return {"enabled": True, "cert_path": str(self.cert), "key_path": str(self.key)}

    def issue(self) -> tuple[int, bytes, bytes]:
        """Return a new certificate's serial number, its chain and its key."""
        made = self.authority.issue_cert("127.0.0.1")
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        return serial_of(chain), chain, made.private_key_pem.bytes()

    def renew(self) -> int:
        """Write a new pair over the old one and return its serial number."""
        serial, chain, key = self.issue()
        self.cert.write_bytes(chain)
        self.key.write_bytes(key)
        return serial

    async def shown(self, port: int) -> int:
        """Return the serial number that a new handshake gets to see."""
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.trust)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(der).serial_number

    async def shows(self, port: int, serial: int) -> None:
        """Wait until new handshakes get this serial number."""
        end = time.monotonic() + 60
        while (found := await self.shown(port)) != serial:
            assert time.monotonic() < end, f"the certificate is still {found}"
            await asyncio.sleep(0.05)  # polls, with a deadline


def serial_of(chain: bytes) -> int:
    return x509.load_pem_x509_certificate(chain).serial_number


def rewrite(server: Server, **settings: Any) -> None:
    """Write other settings into the configuration file of a running server."""
    server.config.update(settings)
    server.log_path.with_name("config.json").write_text(json.dumps(server.config))


async def reload(server: Server, ending: str = "reloaded") -> None:
    """Send SIGHUP and wait for the line that ends the reload."""
    before = messages(server).count(ending)
    server.process.send_signal(signal.SIGHUP)
    await eventually(lambda: messages(server).count(ending) > before, f"{ending!r} in the log")


def messages(server: Server) -> list[str]:
    found = []
    for line in server.log().splitlines():
        try:
            found.append(str(json.loads(line)["message"]))
        except ValueError:  # it is being written
            found.append(line)
    return found


def inline(*apps: Config) -> Config:
    return {"driver": "memory", "array": {"apps": list(apps)}}


@asynccontextmanager
async def crowd(server: Server, count: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Crowd]:
    """Connect a crowd for the block, and insist on it that nobody was dropped meanwhile."""
    there = Crowd(server.port, count, APP.key, tls)
    try:
        await there.come()
        yield there
        assert there.here == count
        assert (there.returned.told, there.returned.lost) == (0, 0)
    finally:
        await there.leave()


async def test_one_sighup_takes_up_an_app_an_endpoint_a_certificate_and_the_log_level_under_1000_clients(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path)
    pair.renew()

    def app(path: str, **more: Any) -> Config:
        hook = {"url": f"{receiver.url}{path}", "event_types": ["channel_occupied"]}
        return app_config(APP, webhooks=[hook], **more)

    with HookReceiver() as receiver, running(server_config(app("/old"), ssl=pair.config), tmp_path) as server:
        async with crowd(server, CROWD, pair.trust):
            url = server.ws_url(f"/app/{APP.key}?protocol=7", secure=True)
            client = await Client.open(url, APP, ssl=pair.trust)
            await client.established()
            await client.subscribe("private-one")
            await eventually(lambda: bool(receiver.hooks("/old")), "the old endpoint's event")
            await client.trigger("private-one", "client-e")
            await client.expect_error("you must enable this feature")

            files = Pair(tmp_path)  # the same files, another authority
            pair.trust, pair.authority = files.trust, files.authority
            serial = pair.renew()
            rewrite(server, app_manager=inline(app("/new", enable_client_messages=True)), logging={"level": "debug"})
            await reload(server)

            listener = await Client.open(url, APP, ssl=pair.trust)  # trusts the new certificate alone
            await listener.established()
            assert await pair.shown(server.port) == serial
            assert "client connected" in messages(server)
            await listener.subscribe("private-one")
            await listener.subscribe("private-two")
            await client.trigger("private-one", "client-e", {"n": 1})
            assert (await listener.expect("client-e")).data == {"n": 1}
            await eventually(
                lambda: any(b"private-two" in hook.body for hook in receiver.hooks("/new")), "the new endpoint's event"
            )
            assert not any(b"private-two" in hook.body for hook in receiver.hooks("/old"))
            await client.close()
            await listener.close()


async def test_a_broken_file_changes_nothing_and_every_mistake_is_logged(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        async with crowd(server, 20), connected(server, APP) as client:
            rewrite(server, app_manager=inline(app_config(TestApp("9", "another-key", "s"))), port="x", pong_timeout=-1)
            await reload(server, "not reloaded: 2 mistakes; everything stays as it was")
            assert any("port" in line and "must be" in line for line in messages(server))
            assert any("pong_timeout" in line for line in messages(server))
            async with connected(server, APP):
                pass
            await client.barrier()
            server.log_path.with_name("config.json").write_text("{")
            await reload(server, "not reloaded: 1 mistake; everything stays as it was")
            await client.barrier()


async def test_keys_that_need_a_restart_are_named_one_by_one_and_keep_their_values(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        async with crowd(server, 20):
            rewrite(server, activity_timeout=33, cors={"origin": ["https://x.example"]}, port=1)
            await reload(server)
            for key in ("activity_timeout", "cors.origin", "port"):
                lines = [line for line in messages(server) if f": {key}: is not taken up by a reload" in line]
                assert len(lines) == 1, messages(server)
            async with connected(server, APP) as client:
                assert client.activity_timeout == 120


async def test_apps_that_are_removed_disabled_or_without_a_key_close_their_clients_and_no_others(
    tmp_path: Path,
) -> None:
    gone, off = TestApp("gone", "gone-key", "gone-secret"), TestApp("off", "off-key", "off-secret")
    with running(server_config(*map(app_config, (APP, gone, off))), tmp_path) as server:
        async with crowd(server, 20), connected(server, gone) as removed, connected(server, off) as disabled:
            fresh = TestApp("new", "new-key", "new-secret")
            rewrite(server, app_manager=inline(*map(app_config, (APP, fresh)), app_config(off, enabled=False)))
            await reload(server)
            await removed.expect_fatal(4001)
            await disabled.expect_fatal(4003)
            async with connected(server, fresh):
                pass
            assert [line for line in messages(server) if line.startswith("app ")] == [
                "app gone: removed",
                "app off: disabled",
                "app new: added",
            ]


async def test_apps_in_files_are_reloaded_with_the_defaults_of_the_server_and_move_to_the_configuration(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "apps"
    folder.mkdir()
    (folder / "one.json").write_text(json.dumps(app_config(APP, enable_client_messages=True)))
    source = {"driver": "file", "file": {"path": str(folder), "reload": False}}
    with running(server_config(app_manager=source), tmp_path) as server:
        async with connected(server, APP) as client:
            await client.subscribe("private-a")
            rewrite(server, event_limits={"max_name_length": 8})
            await reload(server)
            await client.trigger("private-a", "client-long-name")
            await client.expect_error("longer than 8 characters")
            (folder / "one.json").write_text("{")
            await reload(server, "not reloaded: 1 mistake; everything stays as it was")
            rewrite(server, app_manager=inline(app_config(APP)))
            await reload(server)
            await client.barrier()
            (folder / "one.json").unlink()
            await reload(server)
            await client.barrier()


async def test_a_storm_of_sighups_ends_in_the_last_state_and_drops_nobody(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        async with crowd(server, 100):
            for number in range(200):
                server.process.send_signal(signal.SIGHUP)
                if number == 100:
                    rewrite(server, app_manager=inline(app_config(APP), app_config(TestApp("x", "x-key", "x-secret"))))
                await asyncio.sleep(0.002)  # spreads them over some reloads
            await eventually(lambda: "app x: added" in messages(server), "the last state")
            assert messages(server).count("reloaded") < 100
            async with connected(server, TestApp("x", "x-key", "x-secret")):
                pass


async def test_a_stop_in_the_midst_of_reloads_is_a_stop(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        async with connected(server, APP) as client:
            server.process.send_signal(signal.SIGHUP)
            server.terminate()
            for _ in range(20):
                if server.process.poll() is None:
                    server.process.send_signal(signal.SIGHUP)
            await client.expect_fatal(4200)
            assert await asyncio.to_thread(server.wait) == 0
            assert "Traceback" not in server.log()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
async def test_signals_that_other_servers_reopen_their_logs_at_change_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        async with connected(server, APP) as client:
            server.process.send_signal(number)
            await eventually(lambda: any(number.name in line for line in messages(server)), "the line about it")
            await client.barrier()


async def test_sigquit_drains_like_sigterm(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        async with connected(server, APP) as client:
            server.told = True
            server.process.send_signal(signal.SIGQUIT)
            await client.expect_fatal(4200)
            assert await asyncio.to_thread(server.wait) == 0


# What Python runs at its start: the import of a module that the server needs late is slow.
SLOW_IMPORT = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            open({marker!r}, "w").close()
            time.sleep(1)
sys.meta_path.insert(0, Slow())
"""


@pytest.mark.parametrize("module", ["pydantic", "sockudo_py.wiring.server"], ids=["before", "after the file is read"])
async def test_signals_during_the_start_do_not_end_it_and_are_followed_by_a_reload(tmp_path: Path, module: str) -> None:
    marker = tmp_path / "importing"
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT.format(module=module, marker=str(marker)))
    config = server_config(app_config(APP), port=0, metrics={"enabled": False})
    (tmp_path / "config.json").write_text(json.dumps(config))
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
            [sys.executable, "-m", "sockudo_py", "start", "--config", str(tmp_path / "config.json")],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        await eventually(marker.exists, "the import")
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2):
            process.send_signal(number)
        await eventually(lambda: '"reloaded"' in (tmp_path / "log").read_text(), "the reload")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    finally:
        process.kill()
        process.wait()


# -- certificates --


async def test_a_renewed_certificate_is_taken_up_without_a_signal_while_clients_come_and_stay(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    old = pair.renew()
    with running(server_config(app_config(APP), ssl=pair.config), tmp_path) as server:
        async with crowd(server, 100, pair.trust):
            assert await pair.shown(server.port) == old
            for _ in range(3):
                serial = pair.renew()
                async with crowd(server, 50, pair.trust):  # whichever of the two they are shown, they get in
                    await pair.shows(server.port, serial)
            assert "stays in force" not in server.log()


def half_written(pair: Pair) -> None:
    pair.cert.write_bytes(pair.issue()[1][:300])


def of_two_pairs(pair: Pair) -> None:
    pair.cert.write_bytes(pair.issue()[1])


def without_a_key(pair: Pair) -> None:
    pair.key.unlink()


@pytest.mark.parametrize("breaks", [half_written, of_two_pairs, without_a_key])
async def test_a_broken_pair_keeps_the_present_certificate_and_is_logged_once(
    tmp_path: Path, breaks: Callable[[Pair], None]
) -> None:
    pair = Pair(tmp_path)
    old = pair.renew()
    with running(server_config(app_config(APP), ssl=pair.config), tmp_path) as server:
        async with crowd(server, 20, pair.trust):
            breaks(pair)
            await eventually(lambda: "the present certificate stays in force" in server.log(), "the complaint")
            assert await pair.shown(server.port) == old
            await reload(server, "not reloaded: 1 mistake; everything stays as it was")
            assert await pair.shown(server.port) == old
            serial = pair.renew()
            await pair.shows(server.port, serial)
        assert server.log().count("the present certificate stays in force") == 1


async def test_links_that_are_replaced_at_once_are_followed(tmp_path: Path) -> None:
    # As Kubernetes mounts secrets (..data is a link to a folder), and much like certbot's live folder.
    pair = Pair(tmp_path)

    def mount(name: str) -> int:
        serial, chain, key = pair.issue()
        folder = tmp_path / name
        folder.mkdir()
        (folder / "cert.pem").write_bytes(chain)
        (folder / "key.pem").write_bytes(key)
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        return serial

    first = mount("..2026_1")
    pair.cert.symlink_to("..data/cert.pem")
    pair.key.symlink_to("..data/key.pem")
    with running(server_config(app_config(APP), ssl=pair.config), tmp_path / "server") as server:
        async with crowd(server, 20, pair.trust):
            assert await pair.shown(server.port) == first
            await pair.shows(server.port, mount("..2026_2"))
        assert "stays in force" not in server.log()
