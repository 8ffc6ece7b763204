"""Commands that ask a running server: `apps`, `channels`, `publish`, `why`, `tail`, `listen`, some of `webhooks`."""

import argparse
from typing import TypeAlias

from sockudo_py.cli.live import doing, endpoints, listen, looking

Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Parsers, webhooks: Parsers) -> None:
    """Add the commands; ``webhooks`` are those of that name, which get some more."""
    looking.add(commands)
    doing.add(commands)
    listen.add(commands)
    endpoints.add_actions(webhooks)
