"""The protocol of a connection that may not stay."""

import asyncio
from typing import cast


class Dropped(asyncio.Protocol):
    """Closes its connection at once."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close."""
        cast("asyncio.Transport", transport).abort()  # uvloop's are such without being subclasses
