"""The lane of receive requests of the HTTP transports."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import TakenOver, TakeOverLane
from sockudo_py.edge.newcomers import Newcomer
from sockudo_py.edge.proxies import network_of
from sockudo_py.edge.xhr.requests import SEND, STREAMING, TRANSPORTS, XhrAsked, XhrPath, XhrPaths, cors_of, marks_of
from sockudo_py.edge.xhr.requests import problem_with as problem_with_head
from sockudo_py.errors import Unavailable
from sockudo_py.http.messages import ApiResponse, error
from sockudo_py.protocol.app import App
from sockudo_py.protocol.readers.opening import Refusal, origin_allowed
from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.context import XhrContext
from sockudo_py.xhr.frames import refusal_lines
from sockudo_py.xhr.receiving import ReceiveRequest, Receiving
from sockudo_py.xhr.relaying import ANOTHERS, Relaying
from sockudo_py.xhr.sessions import Key

# no-transform: a proxy that compresses would gather chunks first. nosniff: so would a browser that guesses the type.
_HEADERS: Final = (
    "Content-Type: application/javascript; charset=utf-8\r\nCache-Control: no-store, no-transform\r\n"
    "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n"
)


class ReceiveLane(TakeOverLane):
    """Takes requests to receive, and all others on the transports' paths that no other lane takes.

    Args:
        context: The port's.
        transports: What the transports' clients share.
        paths: Of the transports.
        relaying: The way to sessions of other nodes; None: there are none.
    """

    def __init__(
        self, context: FrontContext, transports: XhrContext, paths: XhrPaths, relaying: Relaying | None = None
    ) -> None:
        self._relaying = relaying
        self._context = context
        self.transports = transports
        self._paths = paths

    def takes(self, head: Head) -> bool:
        """Take what has a path of the transports."""
        return self._paths.read(head.path) is not None

    def refusal(self, head: Head) -> ApiResponse | None:
        """Return the error for a request that does not fit."""
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
        if taken.half_closed:  # the client can't receive
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
        client: XhrClient | None = None if app is None else transports.sessions.get((app.id, path.session_id))
        if client is not None:
            receiving = self._receiving(transport, head, path, app, secure=secure)
            if client.marks != marks_of(head):
                receiving.start(None, received)
                receiving.finish(self._anothers())
            else:
                receiving.start(client, received)
                client.attach(receiving)
            return
        fields = head.fields
        address, over_tls = context.caller(transport, fields.forwarded_for, head.text(b"x-forwarded-proto"), secure)
        network = network_of(address)
        if app is not None and not origin_allowed(app.allowed_origins, fields.origin):
            # Only the refusal is readable: without it pusher-js would take the server for one that is away, for ever.
            receiving = self._receiving(transport, head, path, None, secure=secure)
            receiving.start(None, received)
            self._open(receiving, head, path, app, address, network, secure=over_tls, claimed=False)
            return
        newcomers = context.newcomers
        if newcomers.addresses and app is not None and (app.id, network) in newcomers.addresses:
            go_on = partial(self._receive, transport, head, path, app, secure=secure)
            left = context.connections.open.leave
            Newcomer(newcomers, (app.id, network), transport, received, opens=go_on, left=left)
            return
        receiving = self._receiving(transport, head, path, app, secure=secure)
        receiving.start(None, received)
        open_here = partial(self._open, receiving, head, path, app, address, network, secure=over_tls)
        if self._relaying is None or app is None:
            open_here()
            return
        self._relaying.claim((app.id, path.session_id), partial(self._claimed, receiving, head, path, app, open_here))

    def _claimed(
        self,
        receiving: Receiving,
        head: Head,
        path: XhrPath,
        app: App,
        open_here: Callable[[], None],
        owner: str | Unavailable | None,
    ) -> None:
        """Open the session here unless a node owns it; then pass the request on to that node."""
        relaying = self._relaying
        if relaying is None:
            raise ValueError("there is no relay")
        key = (app.id, path.session_id)
        if isinstance(owner, Unavailable):
            self.transports.refused.add("503")
            receiving.fail()
        elif not receiving.here:
            if owner is None:
                relaying.give_up(key)
        elif owner is None:
            open_here()
        elif owner == relaying.node_id:  # a request before this one has just claimed it
            self._attach(receiving, head, key, open_here)
        else:
            marks = marks_of(head)
            relaying.receive(owner, key, marks, receiving, partial(self._nobody_has, receiving, key, open_here))

    def _attach(self, receiving: Receiving, head: Head, key: Key, open_here: Callable[[], None]) -> None:
        client: XhrClient | None = self.transports.sessions.get(key)
        if client is None:
            open_here()
        elif client.marks != marks_of(head):
            receiving.finish(self._anothers())
        else:
            receiving.client = client
            client.attach(receiving)

    def _anothers(self) -> bytes:
        self.transports.refused.add(str(ANOTHERS.code))
        return refusal_lines(ANOTHERS)

    def _nobody_has(self, receiving: Receiving, key: Key, open_here: Callable[[], None]) -> None:
        """Open the session here: the node that had it is gone, or has forgotten it."""
        if receiving.here and self._relaying is not None:
            receiving.client = None
            self._relaying.take(key)
            open_here()

    def _open(
        self,
        receiving: Receiving,
        head: Head,
        path: XhrPath,
        app: App | None,
        address: str,
        network: str,
        *,
        secure: bool,
        claimed: bool = True,
    ) -> None:
        """Open a session, or say why there can be none. ``claimed``: this node has claimed it, where nodes do."""
        transports = self.transports
        make = partial(XhrClient, transports, path.session_id, TRANSPORTS[path.kind], marks_of(head))
        admitted = self._context.admission.admit(XhrAsked(head, path), app, make, secure, address, network)
        if isinstance(admitted, Refusal):
            receiving.finish(refusal_lines(admitted))
            if claimed and self._relaying is not None and app is not None:
                self._relaying.give_up((app.id, path.session_id))
        else:
            receiving.client = admitted
            admitted.open(receiving)

    def _receiving(
        self, transport: asyncio.Transport, head: Head, path: XhrPath, app: App | None, *, secure: bool
    ) -> Receiving:
        """Return the answer to the request; pages of the app's origins may read it, without an app all pages."""
        cors = "".join(f"{name}: {value}\r\n" for name, value in cors_of(app, head.fields.origin))
        request = ReceiveRequest(
            streaming=path.kind == STREAMING,
            chunked=head.version == "1.1",
            keep_alive=head.fields.keep_alive,
            headers=_HEADERS + cors,
            secure=secure,
        )
        return Receiving(self.transports, transport, request)
