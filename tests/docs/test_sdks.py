"""What documents show of SDKs that the tests have runs: Pusher's for Python and Node, pusher-js and laravel-echo.

The programs stand there as they are; only the values of the app and of the server are put in.
"""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.docs.pages import blocks, page, section
from tests.support.node import FOLDER, installed_node
from tests.support.site import Site

DEADLINE = 60.0
HELLO = json.dumps({"text": "hello"})


def for_site(code: str, site: Site) -> str:
    """Return a program with the app and the server of ``site`` in it."""
    code = code.replace('"1"', f'"{site.app.id}"').replace("app-key", site.app.key)
    return code.replace("app-secret", site.app.secret).replace("6001", str(site.server.port))


@asynccontextmanager
async def running(site: Site, command: str, code: str, folder: Path, name: str) -> AsyncIterator[Process]:
    """Run a program for the block; its packages are those of the JavaScript clients."""
    (folder / name).write_text(for_site(code, site))
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(FOLDER / "node_modules")
    process = await asyncio.create_subprocess_exec(command, str(folder / name), stdout=PIPE, cwd=folder, env=os.environ)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), DEADLINE)).decode().strip()


@pytest.mark.parametrize(("name", "language"), [("python", "python"), ("node", "javascript")])
async def test_an_sdk_publishes(name: str, language: str, site: Site, tmp_path: Path) -> None:
    [code] = blocks(section(page(f"clients/{name}.md"), "With an SDK"), language)
    command = sys.executable if name == "python" else installed_node()
    async with site.connect() as client:
        await client.subscribe("news")
        async with running(site, command, code, tmp_path, "program.cjs") as process:
            assert await asyncio.wait_for(process.wait(), DEADLINE) == 0
        frame = await client.expect("headline", "news")
        assert frame.data == {"text": "hello"}


@pytest.mark.parametrize("document", ["quick-start.md", "clients/README.md"])
async def test_pusher_js_in_a_page_receives(document: str, site: Site, tmp_path: Path) -> None:
    [html] = blocks(page(document), "html")
    [script] = re.findall(r"<script>\n(.*?)</script>", html, re.DOTALL)
    assert re.search(r'<script src="https://js\.pusher\.com/8\.[\d.]+/pusher\.min\.js"></script>', html)
    browser = 'const Pusher = require("pusher-js");\n'
    browser += "const document = { body: { append: (text) => console.log(text) } };\n"
    subscribed = 'pusher.channel("news").bind("pusher:subscription_succeeded", () => console.log("subscribed"));\n'
    async with running(site, installed_node(), browser + script + subscribed, tmp_path, "page.cjs") as process:
        assert await line(process) == "subscribed"
        site.api.publish("news", "headline", HELLO)
        assert await line(process) == "hello"


async def test_echo_of_the_page_receives(site: Site, tmp_path: Path) -> None:
    [code] = blocks(section(page("laravel.md"), "Echo"), "javascript")
    variables = dict(item.split("=", 1) for item in blocks(page("laravel.md"), "ini")[0].splitlines() if "=" in item)
    for name in re.findall(r"import\.meta\.env\.(\w+)", code):
        value = variables[name.removeprefix("VITE_")]  # tests/docs/test_laravel.py: the one is the other
        code = code.replace(f"import.meta.env.{name}", f'"{value}"')
    assert "import.meta" not in code
    code = f"globalThis.window = globalThis;\n{code}"
    code += 'const news = window.Echo.channel("news").subscribed(() => console.log("subscribed"));\n'
    code += 'news.listen(".headline", (event) => console.log(event.text));\n'
    async with running(site, installed_node(), code, tmp_path, "echo.mjs") as process:
        assert await line(process) == "subscribed"
        site.api.publish("news", "headline", HELLO)
        assert await line(process) == "hello"
