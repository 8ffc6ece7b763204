"""How many connections are open."""

import asyncio


class OpenConnections:
    """How many connections there are, and when the last one is gone."""

    __slots__ = ("_empty", "count")

    def __init__(self) -> None:
        self.count = 0
        self._empty: asyncio.Event | None = None

    def enter(self) -> None:
        """Count one more."""
        self.count += 1

    def leave(self) -> None:
        """Count one less."""
        self.count -= 1
        if self._empty is not None and self.count == 0:
            self._empty.set()

    async def empty(self, seconds: float) -> bool:
        """Wait until no connection is left, for at most this long; return whether that is so."""
        if self.count:
            self._empty = asyncio.Event()
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                return False
            finally:
                self._empty = None
        return True
