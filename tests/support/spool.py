"""Spool files as a test looks at them, and as a process that has ended leaves them."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from sockudo_py.queues.base import Append
from sockudo_py.webhooks.spool.file import candidates, create
from sockudo_py.webhooks.spool.lines import event_in

_numbers = itertools.count(1)


def spooled(base: Path) -> list[Append]:
    """Return the events in all spool files of ``base``, whoever holds them; the oldest file first."""
    return [event_in(line) for path in candidates(base) for line in path.read_bytes().splitlines(keepends=True)]


def leave(base: Path, events: Iterable[Append]) -> Path:
    """Make a spool file that nobody holds, older than those made by a dispatcher; return its path."""
    file = create(base)
    assert file.append(list(events)).error is None
    file.close()
    number = next(_numbers)
    os.utime(file.path, (number, number))
    return file.path
