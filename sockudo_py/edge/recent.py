"""A bounded two-generation cache keyed by bytes: results that were made of these bytes before."""

from typing import TypeVar

_Value = TypeVar("_Value")


class Recent(dict[bytes, _Value]):
    """Values by bytes, in two generations: what is asked for again outlives any number of others that come once.

    The dict itself is the younger generation: what is in there costs one look-up.

    Args:
        size: Values in each generation.
    """

    __slots__ = ("_before", "_size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self._before: dict[bytes, _Value] = {}
        self._size = size

    def again(self, key: bytes) -> _Value | None:
        """Return what only the older generation has, and keep it."""
        value = self._before.get(key)
        if value is not None:
            self.keep(key, value)
        return value

    def keep(self, key: bytes, value: _Value) -> None:
        """Remember a value."""
        if len(self) >= self._size:
            self._before = dict(self)
            self.clear()
        self[key] = value

    def total(self) -> int:
        """Return how many values both generations have."""
        return len(self) + len(self._before)
