"""``sockudo-py worker``: what a supervisor starts. It is not for people, so the help does not show it."""

import argparse

from sockudo_py.cli.options import Env
from sockudo_py.process.imports import gc_paused
from sockudo_py.supervisor import WORKER_COMMAND


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(WORKER_COMMAND)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("descriptor", type=int, metavar="N")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, _: Env) -> int:
    """Be a worker; return the exit code."""
    with gc_paused():
        from sockudo_py.supervisor.worker import run as work

    return work(options.descriptor)
