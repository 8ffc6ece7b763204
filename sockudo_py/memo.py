"""A bounded cache in two generations: results that were made of the same key before."""

from collections.abc import Hashable
from typing import TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class TwoGenerationCache(dict[_Key, _Value]):
    """Values by key. Keys that are asked for again outlive any number of others that come once.

    The dict itself is the younger generation: ``get`` on a hot path costs one look-up. When the younger generation is
    full, it becomes the older one, and the former older one is forgotten. No value may be None.

    Args:
        size: Values in each generation.
    """

    __slots__ = ("_before", "_size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self._before: dict[_Key, _Value] = {}
        self._size = size

    def find(self, key: _Key) -> _Value | None:
        """Return the value, or None when there is none."""
        value = self.get(key)
        return self.again(key) if value is None else value

    def again(self, key: _Key) -> _Value | None:
        """Return a value that only the older generation has, and keep it. Ask ``get`` before."""
        value = self._before.get(key)
        if value is not None:
            self.keep(key, value)
        return value

    def keep(self, key: _Key, value: _Value) -> _Value:
        """Remember a value, and return it."""
        if len(self) >= self._size:
            self._before = dict(self)
            self.clear()
        self[key] = value
        return value

    def total(self) -> int:
        """Return how many values both generations have."""
        return len(self) + len(self._before)
