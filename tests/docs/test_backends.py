"""The programs "Without an SDK" of docs/clients run as they stand there, against a running server."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass

import pytest

from tests.docs.pages import blocks, page, section
from tests.support.client import channel_auth, hmac_hex, member
from tests.support.debian import give_up, packages
from tests.support.node import installed_node
from tests.support.site import Site

DEADLINE = 240.0  # Go compiles, Java too, on a busy machine
CHANNEL, NAME, DATA = "news", "headline", '{"text":"grüße"}'


@dataclass(frozen=True, slots=True)
class Language:
    """How a page calls the language of its code, the file that it tells to make, and the program that runs it.

    ``build`` is what makes a program of the file, once; ``{file}`` and ``{folder}`` stand in it and in ``run``.
    """

    code: str
    file: str
    program: str
    run: tuple[str, ...] = ("{file}",)
    build: tuple[str, ...] = ()


LANGUAGES = {
    "python": Language("python", "backend.py", sys.executable),
    "node": Language("javascript", "backend.mjs", "node"),
    "php": Language("php", "backend.php", "php"),
    "ruby": Language("ruby", "backend.rb", "ruby"),
    "go": Language(
        "go", "backend.go", "env", ("{folder}/backend",), ("go", "build", "-o", "{folder}/backend", "{file}")
    ),
    "java": Language(
        "java", "Backend.java", "java", ("-cp", "{folder}", "Backend"), ("javac", "-d", "{folder}", "{file}")
    ),
}
# Interpreters from Debian's packages, where the machine has none: the packages, the file, the folders of its library.
UNPACKED = {
    "php": (("php-cli",), "usr/bin/php8*", ()),
    "ruby": (
        ("ruby", "libruby"),
        "usr/bin/ruby3*",
        ("usr/lib/ruby/3*", "usr/lib/*-linux-gnu*/ruby/3*", "usr/lib/ruby/vendor_ruby"),
    ),
}
GO = {"GO111MODULE": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}


@dataclass(frozen=True, slots=True)
class Backend:
    """A program of a page, for the app of a site."""

    command: tuple[str, ...]
    environment: dict[str, str]

    async def run(self, *arguments: str, given: bytes | None = None) -> str:
        """Return what it prints."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *arguments,
            stdin=DEVNULL if given is None else PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self.environment,
        )
        try:
            async with asyncio.timeout(DEADLINE):
                out, err = await process.communicate(given)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == 0, err.decode()
        return out.decode().strip()


def found(program: str) -> tuple[str, dict[str, str]]:
    """Return the path of a program, and what its environment needs. Without it: skip loudly, and fail in CI."""
    if program == "node":
        return installed_node(), {}
    path = shutil.which(program)
    if path is not None:
        return path, {}
    if program not in UNPACKED:
        give_up(f"there is no {program}")
    names, file, library = UNPACKED[program]
    unpacked = packages(*names)
    binaries = sorted(unpacked.root.glob(file))
    if not binaries:
        give_up(f"no {file} in the packages {names}")
    folders = [str(folder) for place in library for folder in unpacked.root.glob(place)]
    return str(binaries[0]), {"LD_LIBRARY_PATH": unpacked.env["LD_LIBRARY_PATH"], "RUBYLIB": os.pathsep.join(folders)}


@pytest.fixture(scope="session", params=LANGUAGES)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """Return the program of a page, for no app yet."""
    name = str(request.param)
    language = LANGUAGES[name]
    text = section(page(f"clients/{name}.md"), "Without an SDK")
    assert f"`{language.file}`" in text
    [code] = blocks(text, language.code)
    folder = tmp_path_factory.mktemp(name)
    file = folder / language.file
    file.write_text(code)

    def words(command: tuple[str, ...]) -> list[str]:
        return [word.format(file=file, folder=folder) for word in command]

    if language.build:
        compiler, *arguments = words(language.build)
        subprocess.run([found(compiler)[0], *arguments], check=True, timeout=DEADLINE, env=os.environ | GO)
    path, environment = found(language.program)
    return Backend((path, *words(language.run)), environment)


@pytest.fixture
def backend(program: Backend, site: Site) -> Backend:
    """Return the program of a page, for the app of a site."""
    where = {"PUSHER_HOST": site.server.host, "PUSHER_PORT": str(site.server.port)}
    app = {"PUSHER_APP_ID": site.app.id, "PUSHER_APP_KEY": site.app.key, "PUSHER_APP_SECRET": site.app.secret}
    language = {"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", **program.environment}
    return Backend(program.command, {**os.environ, **language, **where, **app})


async def test_it_publishes(backend: Backend, site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe(CHANNEL)
        assert await backend.run("publish", CHANNEL, NAME, DATA) == "200 {}"
        frame = await client.expect(NAME, CHANNEL)
        assert frame.data == json.loads(DATA)


async def test_it_authorizes_channels(backend: Backend, site: Site) -> None:
    async with site.connect() as client:
        private = json.loads(await backend.run("authorize", client.socket_id, "private-chat"))
        assert private == {"auth": channel_auth(site.app, client.socket_id, "private-chat")}
        data = member("17", name="Ann")
        presence = json.loads(await backend.run("authorize", client.socket_id, "presence-room", data))
        await client.send({"event": "pusher:subscribe", "data": {"channel": "presence-room", **presence}})
        await client.expect("pusher_internal:subscription_succeeded", "presence-room")


async def test_it_verifies_webhooks(backend: Backend, site: Site) -> None:
    body = b'{"time_ms":1,"events":[{"name":"channel_occupied","channel":"news"}]}'
    good = hmac_hex(site.app.secret, body)
    assert await backend.run("verify", good, given=body) == "genuine"
    assert await backend.run("verify", good, given=body + b" ") == "forged"
    assert await backend.run("verify", "short", given=body) == "forged"
