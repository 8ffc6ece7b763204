"""Commands about the clients of a running server: ``apps``, ``channels``, ``publish``, ``why``, ``tail``."""

import argparse

from sockudo_py.cli.live import doing, looking


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    looking.add(commands)
    doing.add(commands)
