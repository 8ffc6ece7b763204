"""The systemd unit: systemd finds it sound, and its commands do what it says when they are replayed."""

import json
import re
import resource
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from sockudo_py.config import Config, load
from tests.deploy.image import ROOT
from tests.deploy.started import path_with_server, started, works
from tests.deploy.unit_file import Unit
from tests.support.client import connected, eventually
from tests.support.debian import give_up
from tests.support.server import Server
from tests.support.server import TestApp as App

FOLDER = ROOT / "deploy" / "systemd"
UNIT = Unit(FOLDER / "sockudo.service")
APP = App(id="1", key="app-key", secret="a-secret-of-nobody-else")
TOOL = "/opt/sockudo/bin/sockudo-py"
CONFIG = "/etc/sockudo/config.json"
MOST_EXPOSED = 3.0  # of systemd's ten points; "OK" ends at 4


def service(name: str) -> str:
    return UNIT.only("Service", name)


def here(command: str, folder: Path) -> str:
    """Return a command of the unit with paths of the test."""
    return command.replace(TOOL, str(folder / "bin" / "sockudo-py")).replace(CONFIG, str(folder / "config.json"))


@contextmanager
def unit_started(folder: Path) -> Iterator[Server]:
    """Do what systemd does at a start: user and sandbox aside, which need systemd."""
    env = path_with_server(folder)
    shutil.copy(FOLDER / "config.json", folder)
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
    line = next(line for line in (FOLDER / "install.sh").read_text().splitlines() if service("EnvironmentFile") in line)
    name = re.search(r'echo "(\w+)=', line)
    assert name
    return {name[1]: APP.secret}


def config() -> Config:
    return load(FOLDER / "config.json", environment())


def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        give_up("there is no systemd-analyze")
    return found


async def test_the_service_starts_and_reloads_and_stops_in_time(tmp_path: Path) -> None:
    with unit_started(tmp_path) as server:
        await works(server, APP)
        assert psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] == files_granted()
        async with connected(server, APP) as client:
            settings = json.loads((tmp_path / "config.json").read_text())
            settings["app_manager"]["array"]["apps"].append({"id": "2", "key": "second", "secret": "second-secret"})
            (tmp_path / "config.json").write_text(json.dumps(settings))
            reload(server)
            await eventually(lambda: server.get("/up/2")[0] == 200, "the app of the reloaded configuration")
            await works(server, App(id="2", key="second", secret="second-secret"))
            await client.quiet()
        server.told = True
        server.process.send_signal(signal.Signals[service("KillSignal")])
        assert server.process.wait(int(service("TimeoutStopSec"))) == 0
    assert (tmp_path / "state" / "queue.sqlite3").exists()


def test_a_stop_has_more_time_than_it_takes() -> None:
    given = config()
    takes = given.drain_delay + given.shutdown_grace_period + 1 + given.queue.reliability.shutdown_timeout_ms / 1000
    assert takes == 9
    assert int(service("TimeoutStopSec")) > takes + 1


def test_a_wrong_configuration_is_not_started_again(tmp_path: Path) -> None:
    env = path_with_server(tmp_path)
    (tmp_path / "config.json").write_text('{"prot": 6001}')
    command = shlex.split(here(service("ExecStart"), tmp_path))
    ended = subprocess.run(command, env=env, capture_output=True, check=False, timeout=60)
    assert str(ended.returncode) == service("RestartPreventExitStatus")


def test_the_folders_of_the_unit_fit_together() -> None:
    assert service("WorkingDirectory") == f"/var/lib/{service('StateDirectory')}"
    script = (FOLDER / "install.sh").read_text()
    for needed in (service("EnvironmentFile"), CONFIG, f"useradd --system --home-dir {service('WorkingDirectory')}"):
        assert needed in script
    assert not Path(config().queue.sqlite.path).is_absolute()


def test_systemd_finds_the_unit_sound(tmp_path: Path) -> None:
    path_with_server(tmp_path)
    unit = tmp_path / "sockudo.service"
    unit.write_text(here(UNIT.text, tmp_path))
    done = subprocess.run(
        [systemd_analyze(), "verify", "--man=no", "--recursive-errors=one", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "sockudo.service" not in done.stderr


def test_systemd_finds_the_service_shut_in(tmp_path: Path) -> None:
    command = [systemd_analyze(), "security", "--offline=true", "--no-pager", str(FOLDER / "sockudo.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level, done.stderr
    assert float(level[1]) <= MOST_EXPOSED
