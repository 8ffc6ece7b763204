"""docs/webhooks/managing.md says what the management API does, and its commands work."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sockudo_py.config.sections.webhooks import AdminKey
from sockudo_py.management.credentials.keys import AdminKeys
from sockudo_py.management.links import LinkRoutes, Links
from sockudo_py.management.requests.aliases import ALIASES
from sockudo_py.stores.endpoints.memory import MemoryEndpoints
from tests.docs.pages import blocks, code_words, page, section, table
from tests.support.management import KEY, admin_key, managed
from tests.support.server import TestApp, app_config, running, server_config
from tests.unit.management.bench import Apps, Bench

DOCUMENT = page("webhooks/managing.md")


async def test_every_route_is_listed_and_no_other() -> None:
    bench = await Bench().start()
    links = LinkRoutes(Links(AdminKeys([]), lambda: 0.0), Apps(), MemoryEndpoints())
    routes = [*bench.router.routes, *links.table]
    await bench.stop()
    written = {f"{route.method} {_short(route.pattern)}" for route in routes}
    said = [code_words(row["route"])[0] for row in table(DOCUMENT, "route")]
    assert len(said) == len(set(said))
    assert set(said) == written


def test_the_forms_of_the_routes_are_as_the_table_says() -> None:
    said = {code_words(row["root"])[0]: code_words(row["profile"])[0] for row in table(DOCUMENT, "root")}
    assert said == {alias.root: alias.profile for alias in ALIASES}


def test_the_keys_in_the_example_are_keys() -> None:
    [example] = blocks(section(DOCUMENT, "Keys"), "json")
    keys = json.loads(example)["webhooks"]["admin"]["api_keys"]
    assert [AdminKey.model_validate(key).name for key in keys] == ["operators", "shop"]


async def test_the_commands_work_in_their_order(tmp_path: Path) -> None:
    missing = [program for program in ("bash", "curl") if shutil.which(program) is None]
    if missing:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in ("1", "true") else pytest.skip
        give_up(f"THE COMMANDS OF A PAGE WERE NOT RUN: there is no {missing}")
    config = server_config(app_config(TestApp()), webhooks=managed(admin_key()))
    with running(config, tmp_path) as server:
        env = {**os.environ, "no_proxy": "*", "SOCKUDO": f"http://127.0.0.1:{server.port}", "KEY": KEY, "ID": ""}
        expected = {"POST": {200, 201}, "PATCH": {200}, "GET": {200}, "DELETE": {204}}
        ran = 0
        for script in blocks(DOCUMENT, "bash"):
            for command in re.findall(r"^curl .*?(?=^curl |\Z)", script, re.MULTILINE | re.DOTALL):
                told = command.replace("curl ", "curl -sS --max-time 30 -w '\\n%{http_code}' ", 1)
                done = await asyncio.to_thread(
                    subprocess.run, ["bash", "-euc", told], capture_output=True, text=True, check=True, env=env
                )
                body, _, status = done.stdout.rpartition("\n")
                found = re.search(r"-X (\w+)", command)
                assert int(status) in expected[found[1] if found else "GET"], (command, done.stdout)
                ran += 1
                if "apps/3/webhooks" in command:
                    env["ID"] = json.loads(body)["id"]
        assert ran == 8


def _short(pattern: str) -> str:
    """Return a pattern with "..." for the three roots."""
    for alias in ALIASES:
        if re.fullmatch(re.escape(alias.root) + r"(/\{id\}.*)?", pattern):
            return f"...{pattern.removeprefix(alias.root)}"
    return pattern
