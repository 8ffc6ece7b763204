"""A connection of a client with which compression was agreed on."""

import asyncio

from sockudo_py.metrics import AppCounters
from sockudo_py.protocol.session import Session
from sockudo_py.ws.connection import WebSocketConnection
from sockudo_py.ws.context import ConnectionContext
from sockudo_py.ws.deflate import Agreement
from sockudo_py.ws.frames import FrameReaders


class DeflatedConnection(WebSocketConnection):
    """A connection whose messages may be compressed, either way."""

    __slots__ = ("_agreement", "encoding")

    def __init__(
        self,
        context: ConnectionContext,
        transport: asyncio.Transport,
        agreement: Agreement,
        session: Session,
        counters: AppCounters,
    ) -> None:
        super().__init__(context, transport, session, counters)
        self._agreement = agreement
        self.encoding = agreement.encoding  # type: ignore[assignment]  # a function, as the others'

    @property
    def _readers(self) -> FrameReaders:
        return self._agreement.readers
