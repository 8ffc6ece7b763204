"""Names to addresses, for webhook requests only.

The event loop's own resolver shares a handful of threads with everything else; a few endpoints with a dead
name server would hold them all and stop every other endpoint. So webhooks have threads of their own and a time limit.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADS = 64
TIMEOUT = 4.0  # seconds; below the usual connect timeout, so that a dead name server is reported as one

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int, int], list[AddrInfo]]


def _getaddrinfo(host: str, port: int, family: int) -> list[AddrInfo]:
    return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))


class Resolver:
    """Looks names up in its own threads."""

    def __init__(self, lookup: Lookup = _getaddrinfo) -> None:
        self._lookup = lookup
        self._pool = ThreadPoolExecutor(THREADS, "webhook-dns")

    async def resolve(self, host: str, port: int) -> list[AddrInfo]:
        """Return the addresses of ``host``, as ``getaddrinfo`` does. Raises OSError, also when that takes too long."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._lookup, host, port, socket.AF_UNSPEC)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await future
        except TimeoutError:
            raise OSError(None, f"no answer from the name service within {TIMEOUT:g} s") from None

    def close(self) -> None:
        """End the threads; a look-up under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
