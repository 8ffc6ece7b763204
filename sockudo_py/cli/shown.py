"""How the commands show things to a person: tables, numbers, text from outside."""

import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TextIO

_WIDEST = 60  # characters of a cell
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def number(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 mistake``, ``2 mistakes``."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def plain(text: str) -> str:
    """Return ``text`` with every character that a terminal may obey as an escape."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Collection[int] = (), colours: bool = False
) -> list[str]:
    """Return the lines of a table. Cells may hold text from outside; ``whole``: columns whose cells are never cut."""
    cells = [tuple(head)]
    for row in rows:
        shown = [plain(cell) for cell in row]
        cells.append(tuple(cell if at in whole else _short(cell) for at, cell in enumerate(shown)))
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [f"{_BOLD}{lines[0]}{_PLAIN}", *lines[1:]] if colours else lines


def wants_colours(env: Mapping[str, str] = os.environ, stream: TextIO | None = None) -> bool:
    """Return whether to colour what goes to a stream (standard output): a terminal, and no NO_COLOR (no-color.org)."""
    stream = stream or sys.stdout
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
