"""Names to addresses, for webhook requests only.

The event loop's own resolver shares a handful of threads with everything else; a few endpoints whose name server is
dead would hold them all, and with them every other endpoint. So webhooks have threads of their own and a time limit.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from sockudo_py.webhooks.guard import AddressGuard

THREADS = 64
TIMEOUT = 4.0  # seconds; below the usual connect timeout, so that a dead name server is reported as one

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int, int], list[AddrInfo]]


def _getaddrinfo(host: str, port: int, family: int) -> list[AddrInfo]:
    return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))


class GuardedResolver(AbstractResolver):
    """Looks names up in its own threads, and refuses a name as soon as one of its addresses may not be dialled."""

    def __init__(self, guard: AddressGuard, lookup: Lookup = _getaddrinfo) -> None:
        self._guard = guard
        self._lookup = lookup
        self._pool = ThreadPoolExecutor(THREADS, "webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``. Raises OSError (BlockedAddress for a forbidden one)."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._lookup, host, port, int(family))
        try:
            found = await asyncio.wait_for(future, TIMEOUT)
        except TimeoutError:
            raise OSError(None, f"no answer from the name service within {TIMEOUT:g} s") from None
        results: list[ResolveResult] = []
        for address_family, _, protocol, _, address in found:
            self._guard.check(str(address[0]))
            results.append(
                ResolveResult(
                    hostname=host,
                    host=_numeric(address),
                    port=int(address[1]),
                    family=address_family,
                    proto=protocol,
                    flags=int(socket.AI_NUMERICHOST | socket.AI_NUMERICSERV),
                )
            )
        return results

    async def close(self) -> None:
        """Let go of the threads; a look-up under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _numeric(address: tuple[Any, ...]) -> str:
    if len(address) == 4 and address[3]:
        return f"{address[0]}%{address[3]}"
    return str(address[0])
