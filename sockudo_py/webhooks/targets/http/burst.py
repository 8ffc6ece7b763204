"""Writes the requests that begin in one turn of the loop one right after the other.

Each write to a receiver that sleeps wakes it up, which takes the kernel longer than all else about a write. What goes
back to back wakes it up once, and is answered together.
"""

import asyncio
from typing import Protocol


class Waiting(Protocol):
    """A request that is ready to be written."""

    def flush(self) -> None:
        """Write it, unless that is of no use any more."""


class Burst:
    """Calls ``flush`` of all that were added, when this turn of the loop is over."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []

    def add(self, one: Waiting) -> None:
        """Let it write with the others."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(one)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.flush()
