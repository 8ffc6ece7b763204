"""The script that installs the systemd service, run on a machine that has nothing of ours."""

import os
import shlex
from pathlib import Path

import pytest

from tests.deploy.image import ROOT, bare_machine, require_namespaces
from tests.deploy.started import started, works
from tests.deploy.unit_file import CONFIG, UNIT, service
from tests.support.server import TestApp as App


@pytest.mark.slow
async def test_what_the_script_installs_is_what_the_unit_starts(tmp_path: Path) -> None:
    require_namespaces()
    machine = bare_machine(tmp_path / "machine")
    (machine.root / "etc/systemd/system").mkdir(parents=True)
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "systemctl").write_text('#!/bin/sh\necho "$@" >>/tmp/systemctl\n')
    (stubs / "systemctl").chmod(0o755)
    script = "cd /src && PATH=/stubs:$PATH sh deploy/systemd/install.sh"
    mounts = {ROOT: "/src", stubs: "/stubs"}
    secrets = machine.root / service("EnvironmentFile").lstrip("/")
    found = set()
    for _ in range(2):  # the second time is an upgrade
        done = machine.run(["sh", "-c", script], user="0:0", mounts=mounts)
        assert done.returncode == 0, done.stderr[-3000:]
        found.add(secrets.read_text())
    assert len(found) == 1, "an upgrade must not make another secret"
    assert "restart sockudo" in (machine.root / "tmp/systemctl").read_text()
    assert (machine.root / "etc/systemd/system/sockudo.service").read_text() == UNIT.text

    accounts = [line.split(":") for line in (machine.root / "etc/passwd").read_text().splitlines()]
    user, group = next((int(words[2]), int(words[3])) for words in accounts if words[0] == service("User"))
    assert oct(secrets.stat().st_mode & 0o777) == "0o600"
    name, _, secret = secrets.read_text().strip().partition("=")
    assert len(secret) == 40
    state = machine.root / service("WorkingDirectory").lstrip("/")
    state.mkdir(mode=0o750)  # StateDirectory
    os.chown(state, user, group)
    machine.folder = service("WorkingDirectory")

    tool, account = shlex.split(service("ExecStart"))[0], f"{user}:{group}"
    checked = machine.run([tool, "check-config", CONFIG], env={name: secret}, user=account)
    assert checked.returncode == 0, checked.stderr
    command = machine.command(shlex.split(service("ExecStart")), user=account)
    with started(command, tmp_path, {**machine.env, name: secret}) as server:
        await works(server, App(id="1", key="app-key", secret=secret))
    assert (state / "queue.sqlite3").stat().st_uid == user
