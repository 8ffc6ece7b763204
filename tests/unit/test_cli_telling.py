"""``sockudo-py reload`` and ``restart``: which process is told."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sockudo_py.cli.main import main
from sockudo_py.cli.servers import telling
from sockudo_py.cli.servers.running import Running, has_workers, server, servers

Put = Callable[..., None]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Make a process in a /proc of the test's own."""

    def make(pid: int, *words: str, parent: int = 1, cwd: Path = Path("/srv")) -> None:
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "cmdline").write_bytes(b"".join(f"{word}\0".encode() for word in words))
        (folder / "stat").write_text(f"{pid} (a program) S {parent} 1 1 0")
        (folder / "cwd").symlink_to(cwd)

    return make


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("/opt/bin/python", "/opt/bin/sockudo-py", "start", "--config", "/etc/c.json"), Path("/etc/c.json")),
        (("python", "-m", "sockudo_py", "start", "c.json", "--port", "1"), Path("/srv/c.json")),
        (("python", "/usr/bin/sockudo-py", "start"), None),
    ],
)
def test_a_server_is_known_by_its_command(put: Put, tmp_path: Path, words: tuple[str, ...], file: Path | None) -> None:
    put(7, *words)
    assert server(7, tmp_path) == Running(7, file)
    assert list(servers(tmp_path)) == [Running(7, file)]


@pytest.mark.parametrize(
    "words",
    [
        ("vim", "start"),
        ("python", "sockudo-py", "check-config", "start"),
        ("python", "-m", "sockudo_py", "worker", "1", "9"),
        ("python", "-m", "sockudo_py", "start", "--no-such-option"),
        ("",),
    ],
)
def test_other_programs_are_none(put: Put, tmp_path: Path, words: tuple[str, ...]) -> None:
    put(7, *words)
    assert server(7, tmp_path) is None
    assert server(8, tmp_path) is None


def test_a_supervisor_is_known_by_its_workers(put: Put, tmp_path: Path) -> None:
    put(7, "python", "-m", "sockudo_py", "start")
    put(8, "python", "-P", "-m", "sockudo_py", "worker", "1", "9", parent=7)
    put(9, "python", "-m", "sockudo_py", "start")
    put(10, "python", "-m", "other", parent=9)
    assert has_workers(7, tmp_path)
    assert not has_workers(9, tmp_path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was sent to whom."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def run_with(monkeypatch: pytest.MonkeyPatch, found: Mapping[int, Path | None], *words: str) -> int:
    monkeypatch.setattr(telling, "servers", lambda: (Running(pid, file) for pid, file in found.items()))
    return main(list(words), {})


def test_the_only_server_is_told(monkeypatch: pytest.MonkeyPatch, told: list[tuple[int, int]]) -> None:
    assert run_with(monkeypatch, {7: None}, "reload") == 0
    assert [pid for pid, _ in told] == [7]


def test_the_one_with_the_file_is_told(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[int, int]], tmp_path: Path
) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.touch()
    (tmp_path / "link.json").symlink_to(one)
    assert run_with(monkeypatch, {7: one, 8: other, 9: None}, "reload", str(tmp_path / "link.json")) == 0
    assert [pid for pid, _ in told] == [7]


@pytest.mark.parametrize(
    ("found", "words", "said"),
    [
        ({}, ["reload"], "no server runs here as this user"),
        ({7: Path("/a.json")}, ["reload", "/b.json"], "no server with /b.json runs here"),
        ({7: Path("/a.json"), 8: None}, ["reload"], "2 servers run here: 7 (/a.json), 8 (without a file)"),
        ({}, ["reload", "--pid", str(os.getpid())], "is no server"),
        ({7: None}, ["restart"], "process 7 has no workers to replace"),
    ],
)
def test_nobody_is_told_when_it_is_not_clear_whom(
    monkeypatch: pytest.MonkeyPatch,
    told: list[tuple[int, int]],
    capsys: pytest.CaptureFixture[str],
    found: dict[int, Path | None],
    words: list[str],
    said: str,
) -> None:
    assert run_with(monkeypatch, found, *words) == 1
    assert said in capsys.readouterr().err
    assert told == []
