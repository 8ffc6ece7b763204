"""Log lines of the partitions of a node: all of them meet the same trouble at about the same time."""

import logging
import time
from typing import Final

_APART: Final = 5.0  # seconds between two lines of the same kind


class Teller:
    """Writes warnings to a log, and of each kind one in some seconds."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: dict[str, float] = {}

    def warning(self, text: str, *words: object) -> None:
        """Write a line. The kind is its text without the words."""
        now = time.monotonic()
        if now - self._told.get(text, float("-inf")) >= _APART:
            self._told[text] = now
            self._log.warning(text, *words)
