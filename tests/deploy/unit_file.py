"""Reads the systemd unit, and starts what it starts."""

import json
import re
import resource
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.image import ROOT
from tests.deploy.started import path_with_server, started
from tests.support.server import Server
from tests.support.server import TestApp as App


class Unit:
    """The settings of a unit by section, each with all its values."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        self._sections: dict[str, dict[str, list[str]]] = {}
        section = ""
        for line in self.text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                name, _, value = line.partition("=")
                self._sections.setdefault(section, {}).setdefault(name, []).append(value)

    def only(self, section: str, name: str) -> str:
        """Return the value of a setting that is given once."""
        (value,) = self._sections[section][name]
        return value


FOLDER = ROOT / "deploy" / "systemd"
UNIT = Unit(FOLDER / "sockudo.service")
APP = App(id="1", key="app-key", secret="a-secret-of-nobody-else")
TOOL = "/opt/sockudo/bin/sockudo-py"
CONFIG = "/etc/sockudo/config.json"


def service(name: str) -> str:
    return UNIT.only("Service", name)


def here(command: str, folder: Path) -> str:
    """Return a command of the unit with paths of the test."""
    return command.replace(TOOL, str(folder / "bin" / "sockudo-py")).replace(CONFIG, str(folder / "config.json"))


@contextmanager
def unit_started(folder: Path, **changes: Any) -> Iterator[Server]:
    """Do what systemd does at a start: user and sandbox aside, which need systemd.

    ``changes`` are keys of the one app, and top-level keys of the configuration, besides those of the file.
    """
    env = path_with_server(folder)
    config = json.loads((FOLDER / "config.json").read_text())
    (app,) = config["app_manager"]["array"]["apps"]
    app |= {key: changes.pop(key) for key in ("webhooks",) if key in changes}
    (folder / "config.json").write_text(json.dumps(config | changes))
    state = folder / "state"
    state.mkdir()
    limited = ["sh", "-c", f'ulimit -n {files_granted()}; exec "$@"', "sh"]
    command = [*limited, *shlex.split(here(service("ExecStart"), folder))]
    with started(command, folder, {**env, **environment()}, cwd=state) as server:
        yield server


def files_granted() -> int:
    """Return the limit of the unit, or what the machine of the test allows, where that is less."""
    return min(int(service("LimitNOFILE")), resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def reload(server: Server) -> None:
    """Do what ``systemctl reload`` does."""
    subprocess.run(shlex.split(service("ExecReload").replace("$MAINPID", str(server.process.pid))), check=True)


def environment() -> Mapping[str, str]:
    """Return what install.sh writes into the file of ``EnvironmentFile``, with a secret that the test knows."""
    line = next(
        line
        for line in (FOLDER / "install.sh").read_text().splitlines()
        if "echo" in line and service("EnvironmentFile") in line
    )
    name = re.search(r'echo "(\w+)=', line)
    assert name
    return {name[1]: APP.secret}
