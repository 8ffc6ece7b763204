"""How the commands show things to a person: tables, numbers, text from outside."""

import sys
from collections.abc import Collection, Iterable, Sequence

from sockudo_py.logs import takes_colours

_WIDEST = 60  # characters of a cell
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def number(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 mistake``, ``2 mistakes``."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def plain(text: str) -> str:
    """Return ``text`` with every character that a terminal may obey as an escape."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Collection[int] = ()) -> list[str]:
    """Return the lines of a table, its head bold on a terminal that takes colours.

    Cells may hold text from outside; ``whole``: columns whose cells are never cut.
    """
    cells = [tuple(head)]
    for row in rows:
        shown = [plain(cell) for cell in row]
        cells.append(tuple(cell if at in whole else _short(cell) for at, cell in enumerate(shown)))
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [f"{_BOLD}{lines[0]}{_PLAIN}", *lines[1:]] if takes_colours(sys.stdout) else lines


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
