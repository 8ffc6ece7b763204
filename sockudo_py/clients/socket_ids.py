"""Socket ids: unique in the cluster without asking other nodes."""

import os
from struct import Struct
from typing import Final

_IDS_PER_READ = 512
_LARGEST = 10**9
_PAIR: Final = Struct("<QQ")


class SocketIds:
    """Makes ids of the form ``a.b`` with two random integers from 1 to 10^9, as the SDKs of the servers expect.

    The randomness is the operating system's, fetched for some hundred ids at once. Nothing is fetched before the first
    id, so that processes that fork do not share any.
    """

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def next(self) -> str:
        """Return a new id."""
        at = self._at
        if at >= len(self._pool):
            self._pool = os.urandom(16 * _IDS_PER_READ)
            at = 0
        self._at = at + 16
        # 64 bits each: taken modulo 10^9, no number is noticeably likelier than another
        first, second = _PAIR.unpack_from(self._pool, at)
        return f"{first % _LARGEST + 1}.{second % _LARGEST + 1}"
