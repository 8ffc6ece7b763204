"""Opens connections once for all users that share them, and closes them after the last."""

import asyncio
from collections.abc import Awaitable, Callable

from sockudo_py.errors import SockudoError, Unavailable


class Opening:
    """The life of shared connections: not open, opened, closed.

    Args:
        name: Of the connections, for errors: ``the cluster's Redis``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._holders = 0
        self._settled = asyncio.Event()  # the servers can be used, or can't
        self.opened = False
        self.closed = False
        self.problem = ""  # why the servers can't be used

    async def open(self, begin: Callable[[], Awaitable[None]], timeout: float, why: Callable[[], str]) -> None:
        """Begin at the first call, and wait for ``settle`` or ``refuse``. Each call needs one of ``leave``.

        ``why``: says why there was neither within ``timeout`` seconds. Raises ``Unavailable`` then, and
        ``SockudoError`` for servers that can't be used.
        """
        self._holders += 1
        if self.opened:
            return
        self.opened = True
        await begin()
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            self.closed = True
            raise Unavailable(f"{self._name} {why()}") from None
        if self.problem:
            self.closed = True
            raise SockudoError(f"{self._name}: {self.problem}")

    def settle(self) -> None:
        """The servers can be used."""
        self._settled.set()

    def refuse(self, problem: str) -> None:
        """The servers can't be used."""
        self.problem = problem
        self._settled.set()

    def leave(self) -> bool:
        """Take one user off; return whether it was the last, so that the connections are to be closed."""
        self._holders -= 1
        if self._holders > 0:
            return False
        self.closed = True
        return True
