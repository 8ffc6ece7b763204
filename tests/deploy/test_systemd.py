"""The systemd unit: systemd finds it sound, and its commands do what it says when they are replayed."""

import json
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from sockudo_py.config import Config, load
from tests.deploy.started import path_with_server, works
from tests.deploy.unit_file import (
    APP,
    CONFIG,
    FOLDER,
    UNIT,
    environment,
    files_granted,
    here,
    reload,
    service,
    unit_started,
)
from tests.support.client import connected, eventually
from tests.support.debian import give_up
from tests.support.server import TestApp as App

MOST_EXPOSED = 3.0  # of systemd's ten points; "OK" ends at 4


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
