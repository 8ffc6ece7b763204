"""Commands that ask a running server: ``apps``, ``channels``, ``publish``, ``why``, ``tail``, ``listen``."""

import argparse

from sockudo_py.cli.live import doing, listen, looking


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    looking.add(commands)
    doing.add(commands)
    listen.add(commands)
