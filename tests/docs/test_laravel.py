"""The settings in docs/laravel.md belong together, and the server knows its own."""

import re

import yaml

from sockudo_py.apps.definition import define_apps
from sockudo_py.config import load
from tests.docs.pages import blocks, page, section

DOCUMENT = page("laravel.md")
VARIABLES = dict(line.split("=", 1) for line in blocks(section(DOCUMENT, ".env"), "ini")[0].splitlines() if line)
APP = ("1", "app-key", "app-secret")


def test_laravels_configuration_reads_variables_of_the_env() -> None:
    [code] = blocks(section(DOCUMENT, "config/broadcasting.php"), "php")
    assert set(re.findall(r"env\('(\w+)'", code)) == {name for name in VARIABLES if name.startswith("PUSHER_")}


def test_echo_reads_variables_of_the_env() -> None:
    [code] = blocks(section(DOCUMENT, "Echo"), "javascript")
    assert set(re.findall(r"import\.meta\.env\.(\w+)", code)) == {name for name in VARIABLES if "VITE" in name}
    for name, value in VARIABLES.items():
        assert not name.startswith("VITE_") or value == f'"${{{name.removeprefix("VITE_")}}}"'


def test_the_servers_variables_make_the_app_of_the_env() -> None:
    [line] = blocks(section(DOCUMENT, "The server"), "bash")
    *assignments, program, command = line.split()
    assert (program, command) == ("sockudo-py", "start")
    assert _app(dict(word.split("=", 1) for word in assignments)) == APP
    assert tuple(VARIABLES[f"PUSHER_APP_{name}"] for name in ("ID", "KEY", "SECRET")) == APP


def test_the_service_of_sail_has_the_app_of_the_env() -> None:
    [code] = blocks(section(DOCUMENT, "Sail"), "yaml")
    [service] = yaml.safe_load(code)["services"].values()
    environment = {
        name: re.sub(r"\$\{(\w+)\}", lambda used: VARIABLES[used[1]], value)
        for name, value in service["environment"].items()
    }
    assert _app(environment) == APP


def _app(environment: dict[str, str]) -> tuple[str, str, str]:
    config = load(None, environment)
    [definition] = define_apps(config)
    app = definition.app
    assert config.host == "0.0.0.0"
    assert not [warning for warning in config.warnings if "unknown" in warning]
    return app.id, app.keys[0].key, app.keys[0].secret.decode()
