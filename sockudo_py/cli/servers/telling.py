"""``sockudo-py reload`` and ``sockudo-py restart``: tell a server on this machine."""

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path

from sockudo_py.cli.options import OK, Env, add_config, config_path, examples
from sockudo_py.cli.servers.running import PROC, Running, has_workers, server, servers
from sockudo_py.errors import ConfigError, SockudoError

_LATER = "its log says how it went"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    _add(
        commands,
        "reload",
        _reload,
        "have the server on this machine read its configuration again",
        "What can be taken up is, in every worker; clients stay connected.",
    )
    _add(
        commands,
        "restart",
        _restart,
        "have the server on this machine replace its workers one by one",
        "Each worker drains when its successor is ready, so that the port is always served. For a new configuration "
        "with keys that a reload does not take up, and after an upgrade.",
    )


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    tell: Callable[[int], str],
    text: str,
    more: str,
) -> None:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}. {more} Returns at once: the server's log says how it went.",
        **examples(
            f"sockudo-py {name}                # the only server of this user",
            f"sockudo-py {name} config.json    # the one that was started with this file",
            f"sockudo-py {name} --pid 1234",
        ),
    )
    add_config(parser)
    parser.add_argument("--pid", type=int, metavar="N", help="the server's process")
    parser.set_defaults(run=run, tell=tell)


def run(options: argparse.Namespace, _: Env) -> int:
    """Find the server and send it the signal. Raises SockudoError when there is none, or too many."""
    file = config_path(options)
    if options.pid is not None and file is not None:
        raise ConfigError(["--pid and a configuration file: give one of them"])
    print(options.tell(_found(file) if options.pid is None else _named(options.pid)))
    return OK


def _named(pid: int) -> int:
    if PROC.is_dir() and server(pid) is None:
        raise SockudoError(f"--pid {pid}: is no server that `sockudo-py start` has started")
    return pid


def _found(file: Path | None) -> int:
    if not PROC.is_dir():
        raise SockudoError("this system does not show its processes in /proc; name the server's with --pid")
    found = [each for each in servers() if file is None or _is_same(each, file)]
    if len(found) == 1:
        return found[0].pid
    which = "" if file is None else f" with {file}"
    if not found:
        raise SockudoError(f"no server{which} runs here as this user; start one, or name its process with --pid")
    pids = ", ".join(f"{each.pid} ({each.file or 'without a file'})" for each in found)
    raise SockudoError(f"{len(found)} servers run here{which}: {pids}; name one with --pid")


def _is_same(running: Running, file: Path) -> bool:
    if running.file is None:
        return False
    try:
        return running.file.samefile(file)
    except OSError:  # it was moved away; then the names have to do
        return running.file == file.absolute()


def _reload(pid: int) -> str:
    _send(pid, signal.SIGHUP)
    return f"process {pid} reads its configuration again; {_LATER}"


def _restart(pid: int) -> str:
    if PROC.is_dir() and not has_workers(pid):
        raise SockudoError(
            f"process {pid} has no workers to replace; set workers to auto or to more than 1, or stop it and start it "
            "again"
        )
    _send(pid, signal.SIGUSR2)
    return f"process {pid} replaces its workers one by one; {_LATER}"


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except OSError as problem:
        raise SockudoError(f"process {pid} can't be told: {problem.strerror}") from problem
