"""An ``on_change`` that remembers what it was told."""

from collections.abc import Callable

from sockudo_py.changes import Change


class Changes(list[Change]):
    """What was told, in order. Everything is stored at once."""

    def __call__(self, change: Change, stored: Callable[[], None] | None = None, /) -> None:
        self.append(change)
        if stored is not None:
            stored()
