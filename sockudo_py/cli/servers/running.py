"""Servers that run on this machine, found in ``/proc``."""

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sockudo_py.cli.options import config_path
from sockudo_py.cli.servers import start
from sockudo_py.errors import ConfigError
from sockudo_py.supervisor import WORKER_COMMAND

PROC = Path("/proc")
_PROGRAMS = ("sockudo-py", "sockudo_py", "__main__.py")


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started with ``sockudo-py start``. ``file``: its configuration; None: it has none."""

    pid: int
    file: Path | None


def servers(proc: Path = PROC) -> Iterator[Running]:
    """Yield the servers of this user; root sees those of all users."""
    for pid in _pids(proc):
        found = server(pid, proc)
        if found is not None and os.geteuid() in (0, _owner(proc / str(pid))):
            yield found


def server(pid: int, proc: Path = PROC) -> Running | None:
    """Return a server by its process; None: it is another program, or has ended."""
    words = _words(pid, proc)
    arguments = _behind(words, "start")
    if arguments is None:
        return None
    parser = argparse.ArgumentParser()
    start.add(parser.add_subparsers())
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            file = config_path(parser.parse_args(["start", *arguments]))
    except (SystemExit, ConfigError):  # it ends with that complaint in a moment
        return None
    if file is None:
        return Running(pid, None)
    try:
        return Running(pid, Path(os.readlink(proc / str(pid) / "cwd")) / file)
    except OSError:
        return Running(pid, file)


def has_workers(pid: int, proc: Path = PROC) -> bool:
    """Return whether a server is a supervisor with workers."""
    return any(_parent(each, proc) == pid and _behind(_words(each, proc), WORKER_COMMAND) for each in _pids(proc))


def _pids(proc: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    except OSError:
        return []


def _words(pid: int, proc: Path) -> list[str]:
    try:
        return (proc / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").removesuffix("\0").split("\0")
    except OSError:
        return []


def _behind(words: list[str], command: str) -> list[str] | None:
    """Return what stands behind ``sockudo-py COMMAND``; None: that is not there."""
    for at in range(1, len(words)):
        if words[at] == command and Path(words[at - 1]).name in _PROGRAMS:
            return words[at + 1 :]
    return None


def _owner(folder: Path) -> int:
    try:
        return folder.stat().st_uid
    except OSError:
        return -1


def _parent(pid: int, proc: Path) -> int:
    try:
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1
