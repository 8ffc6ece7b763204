"""The commands as a person or a container runs them: processes, terminals, pipes."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.ports import free_ports
from tests.support.server import Server, TestApp, app_config, running, server_config

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sockudo_py"]


def command(*words: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})}
    )
    return done.returncode, done.stdout, done.stderr


def file_of(server: Server) -> str:
    return str(server.log_path.parent / "config.json")


def configured(**settings: Any) -> dict[str, Any]:
    return server_config(app_config(TestApp()), **settings)


# -- health


def test_health_asks_where_the_configuration_says_and_ends_with_0_or_1(tmp_path: Path) -> None:
    with running(configured(path_prefix="/realtime"), tmp_path) as server:
        code, out, err = command("health", "--config", file_of(server))
        assert (code, out, err) == (0, f"http://127.0.0.1:{server.port}/realtime/up: 200 OK\n", "")
        assert command("health", file_of(server), "--path", "/nothing")[0] == 1
    code, out, err = command("health", file_of(server))
    assert (code, out) == (1, "")
    assert err == f"http://127.0.0.1:{server.port}/realtime/up: no answer: Connection refused\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost"])
def test_health_of_a_server_on_all_addresses(tmp_path: Path, host: str) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with running(configured(host=host), tmp_path) as server:
        assert command("health", file_of(server))[0] == 0
        log = server.log()
        assert "ws://0.0.0.0" not in log
        assert "://[::]" not in log
        assert f"ws://localhost:{server.port}/app/{TestApp().key}" in log


def test_health_over_tls_and_on_a_unix_socket(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("not-this-name.example")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    ssl = {"enabled": True, "cert_path": str(tmp_path / "cert.pem"), "key_path": str(tmp_path / "key.pem")}
    unix = tmp_path / "s.sock"
    with running(configured(ssl=ssl, unix_socket={"enabled": True, "path": str(unix)}), tmp_path) as server:
        code, out, _ = command("health", file_of(server))
        assert code == 0
        assert out.splitlines() == [f"https://127.0.0.1:{server.port}/up: 200 OK", f"{unix} /up: 200 OK"]
        unix.rename(tmp_path / "elsewhere.sock")
        code, out, err = command("health", file_of(server))
        assert code == 1
        assert err == f"{unix} /up: no answer: No such file or directory\n"
        (tmp_path / "elsewhere.sock").rename(unix)


def test_health_says_1_and_never_2_when_there_is_no_answer_or_no_configuration(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = str(silent.getsockname()[1])
        code, _, err = command("health", "--port", port, "--timeout", "0.3")
        assert (code, err) == (1, f"http://127.0.0.1:{port}/up: no answer: timed out\n")
    assert command("health", "--config", str(tmp_path / "nowhere.json"))[0] == 1
    broken = tmp_path / "broken.json"
    broken.write_text('{"port": "x"}')
    assert command("health", str(broken))[0] == 1
    free = tmp_path / "free.json"
    free.write_text('{"port": 0}')
    assert "give --port" in command("health", str(free))[2]


def test_health_follows_the_variables_of_the_server(tmp_path: Path) -> None:
    with running(configured(), tmp_path) as server:
        code, out, _ = command("health", env={"PORT": str(server.port)})
        assert (code, out) == (0, f"http://127.0.0.1:{server.port}/up: 200 OK\n")


def test_health_asks_a_process_with_the_file_and_the_options_that_it_was_started_with(tmp_path: Path) -> None:
    with running(configured(path_prefix="/realtime"), tmp_path) as server:
        pid = str(server.process.pid)
        assert command("health", "--pid", pid)[:2] == (0, f"http://127.0.0.1:{server.port}/realtime/up: 200 OK\n")
        code, _, err = command("health", "--pid", str(os.getpid()))
        assert code == 1
        assert f"--pid {os.getpid()}: is no `sockudo-py start`" in err
    assert command("health", "--pid", pid)[0] == 1


# -- start


def started(*words: str, env: Mapping[str, str] | None = None) -> tuple[subprocess.Popen[bytes], int, str]:
    """Start on a terminal; return the process, the terminal, and what came until the banner was complete."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "start", *words],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", **(env or {})},
    )
    os.close(terminal)
    seen, deadline = b"", time.monotonic() + 60
    while b"  config " not in seen and time.monotonic() < deadline:
        if select.select([controller], [], [], 1)[0]:
            seen += os.read(controller, 65536)
    return process, controller, seen.decode().replace("\r\n", "\n")


def ended(process: subprocess.Popen[bytes], controller: int) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(60)
    finally:
        os.close(controller)


def write(folder: Path, **settings: Any) -> str:
    path = folder / "config.json"
    document = {"queue": {"driver": "memory"}, "metrics": {"host": "127.0.0.1", "port": 0}, **settings}
    path.write_text(json.dumps({"app_manager": {"array": {"apps": [app_config(TestApp())]}}, **document}))
    return str(path)


def test_options_count_more_than_variables_and_these_more_than_the_file(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    file = write(tmp_path, host="192.0.2.1", port=1, logging={"format": "json", "level": "error"})
    words = [file, "--host", "127.0.0.1", "--port", str(port), "--debug", "--log-format", "human"]
    process, controller, seen = started(*words, env={"PORT": "2", "HOST": "192.0.2.2", "LOG_LEVEL": "error"})
    try:
        assert f"ws://127.0.0.1:{port}/app/{TestApp().key}" in seen
        assert f"http://127.0.0.1:{port}/apps/{TestApp().id}/events" in seen
        assert "INFO" in seen
        with socket.create_connection(("127.0.0.1", port), 30) as client:
            client.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 404")
    finally:
        assert ended(process, controller) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--port", "6o01"], "option --port: must be a whole number, not '6o01'"),
        (["--port", "70000"], "option --port: must be 65535 or less, not 70000"),
        (["--host", ""], "option --host: must not be empty"),
    ],
)
def test_a_mistake_in_an_option_names_the_option(words: list[str], line: str) -> None:
    code, out, err = command("start", *words)
    assert (code, out) == (2, "")
    assert line in err
    assert "another program" not in err


def test_a_host_that_can_not_be_used_names_the_option() -> None:
    code, _, err = command("start", "--host", "192.0.2.77", "--port", "0", "--log-format", "human")
    assert code == 1
    assert "can't listen on 192.0.2.77:9601 (of --host) for metrics: this machine does not have that address" in err


def test_two_files_are_one_too_many(tmp_path: Path) -> None:
    code, _, err = command("start", write(tmp_path), "--config", "other.json")
    assert code == 2
    assert "two configuration files" in err


def test_no_color_switches_colours_off(tmp_path: Path) -> None:
    file = write(tmp_path, unknown_by_intention=1)
    assert command("check-config", file)[0] == 1
    file = write(tmp_path, rate_limiter={"enabled": True}, port=0)  # a warning, which is yellow
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)):
        process, controller, seen = started(file, env=env)
        assert ("\x1b[33m" in seen) is coloured, (env, seen)
        assert "WARNING" in seen
        assert ended(process, controller) == 0


# -- pipes and help


@pytest.mark.parametrize("words", [["print-config", "--reference"], ["print-config"], ["check-config"], ["--help"]])
def test_whoever_stops_reading_gets_no_traceback(words: list[str]) -> None:
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode in (0, 141)


@pytest.mark.parametrize("words", [[], ["start"], ["health"], ["check-config"], ["print-config"], ["webhooks"]])
def test_help_has_examples_that_the_command_line_accepts(words: list[str]) -> None:
    code, out, _ = command(*words, "--help", env={"COLUMNS": "80"})
    assert code == 0
    examples = [line.strip() for line in out.partition("examples:\n")[2].splitlines()]
    assert examples
    for line in examples:
        assert "sockudo-py" in line


def test_check_config_warns_of_apps_that_let_nobody_in() -> None:
    code, out, _ = command("check-config", env={"SOKETI_DEFAULT_APP_ENABLED": "0"})
    assert code == 0
    line = "environment variable SOKETI_DEFAULT_APP_ENABLED: there is no app, so nobody can connect"
    assert f"warning: {line}" in out
    pair = {f"SOKETI_DEFAULT_APP_{name}": "value-of-it" for name in ("ID", "KEY", "SECRET")}
    code, out, _ = command("check-config", env={"SOKETI_DEFAULT_APP_ENABLED": "0", **pair})
    assert code == 0
    assert "warning: environment variable SOKETI_DEFAULT_APP_ENABLED: is false, and no other app is enabled" in out
