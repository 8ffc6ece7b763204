"""The lane of receive requests of the HTTP transports."""

import asyncio
from functools import partial
from typing import Final

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import TakenOver, TakeOverLane
from sockudo_py.edge.newcomers import Newcomer
from sockudo_py.edge.proxies import network_of
from sockudo_py.edge.xhr.requests import SEND, STREAMING, TRANSPORTS, XhrAsked, XhrPath, XhrPaths, cors_of, marks_of
from sockudo_py.edge.xhr.requests import problem_with as problem_with_head
from sockudo_py.http.messages import ApiResponse, error
from sockudo_py.protocol.app import App
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.opening import Refusal
from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.context import XhrContext
from sockudo_py.xhr.frames import refusal_lines
from sockudo_py.xhr.receiving import ReceiveRequest, Receiving

# no-transform: what compresses responses gathers them. nosniff: so does a browser that looks what they are.
_HEADERS: Final = (
    "Content-Type: application/javascript; charset=utf-8\r\nCache-Control: no-store, no-transform\r\n"
    "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n"
)
_ANOTHERS: Final = "This session belongs to another client"


class ReceiveLane(TakeOverLane):
    """Takes requests to receive, and whatever else is sent to the transports' paths that no other lane takes.

    Args:
        context: The port's.
        transports: What the transports' clients share.
        paths: Of the transports.
    """

    def __init__(self, context: FrontContext, transports: XhrContext, paths: XhrPaths) -> None:
        self._context = context
        self.transports = transports
        self._paths = paths

    def takes(self, head: Head) -> bool:
        """Take what has a path of the transports."""
        return self._paths.read(head.path) is not None

    def refusal(self, head: Head) -> ApiResponse | None:
        """Return the error for what is no sound request to receive."""
        path = self._paths.read(head.path)
        if head.method != b"POST":
            return error(405, "Method not allowed", ("Allow", "POST, OPTIONS"))
        if path is None or path.kind == SEND:
            return error(411, "A request to send needs a Content-Length")
        problem = problem_with_head(head)
        return None if problem is None else error(*problem)

    def take_over(self, taken: TakenOver) -> None:
        """Begin to answer the request."""
        path = self._paths.read(taken.head.path)
        if path is None:
            raise ValueError("not a path of the transports")
        if taken.half_closed:  # nobody is there to receive
            self._context.connections.open.leave()
            taken.transport.abort()
            return
        head = taken.head
        self.transports.requests.add(path.kind)
        app = self._context.admission.app(XhrAsked(head, path))
        self._receive(taken.transport, head, path, app, taken.rest, secure=taken.secure)

    def _receive(
        self, transport: asyncio.Transport, head: Head, path: XhrPath, app: App | None, received: bytes, *, secure: bool
    ) -> None:
        context, transports = self._context, self.transports
        origin = head.fields.origin
        asked = XhrAsked(head, path)
        cors = "".join(f"{name}: {value}\r\n" for name, value in cors_of(app, origin))
        request = ReceiveRequest(
            streaming=path.kind == STREAMING,
            chunked=head.version == "1.1",
            keep_alive=head.fields.keep_alive,
            headers=_HEADERS + cors,
            secure=secure,
        )
        marks = marks_of(head)
        client: XhrClient | None = None if app is None else transports.sessions.get((app.id, path.session_id))
        if client is not None:
            receiving = Receiving(transports, transport, request)
            if client.marks != marks:
                receiving.start(None, received)
                receiving.finish(refusal_lines(Refusal(int(ErrorCode.RECONNECT), _ANOTHERS)))
            else:
                receiving.start(client, received)
                client.attach(receiving)
            return
        address, over_tls = context.caller(
            transport, head.fields.forwarded_for, head.text(b"x-forwarded-proto"), secure
        )
        network = network_of(address)
        newcomers = context.newcomers
        if newcomers.addresses and app is not None and (app.id, network) in newcomers.addresses:
            go_on = partial(self._receive, transport, head, path, app, secure=secure)
            Newcomer(
                newcomers, (app.id, network), transport, received, opens=go_on, left=context.connections.open.leave
            )
            return
        make = partial(XhrClient, transports, path.session_id, TRANSPORTS[path.kind], marks)
        admitted = context.admission.admit(asked, app, make, over_tls, address, network)
        receiving = Receiving(transports, transport, request)
        if isinstance(admitted, Refusal):
            receiving.start(None, received)
            receiving.finish(refusal_lines(admitted))
        else:
            receiving.start(admitted, received)
            admitted.open(receiving)
