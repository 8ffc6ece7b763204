"""Requests that land on another node than the one that has their session.

A node passes such a request on to the session's node, and what that one answers back to the client: nodes speak to each
other through a relay (``relays.base``). A message is a JSON array in a line, with bytes behind it where it needs some.
The array's first item is the kind; then come the node that sends it and the number of the request there.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakValueDictionary

from orjson import JSONDecodeError, dumps, loads

from sockudo_py.errors import Unavailable
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import Refusal
from sockudo_py.relays.base import KEPT, Found, Relay
from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.context import XhrContext
from sockudo_py.xhr.frames import refusal_lines
from sockudo_py.xhr.receiving import Receiving
from sockudo_py.xhr.sending import AWAY, DONE, Outcome, work_on
from sockudo_py.xhr.sessions import Key

log = logging.getLogger(__name__)

ANOTHERS: Final = Refusal(int(ErrorCode.RECONNECT), "This session belongs to another client")
SEND_TIMEOUT: Final = 10.0  # seconds that another node has to take a request to send


class RemoteReceiver:
    """A receive request at another node: a ``client.Receiver`` whose lines go there."""

    __slots__ = ("__weakref__", "_client", "_number", "_relay", "node_id", "streaming")

    def __init__(self, relay: Relay, node_id: str, number: int, client: XhrClient, *, streaming: bool) -> None:
        self.streaming = streaming
        self.node_id = node_id
        self._relay = relay
        self._number = number
        self._client = client

    def write(self, lines: bytes, last: bool = False) -> None:
        """See ``Receiver.write``."""
        self._send("last" if last else "lines", lines)

    def finish(self, lines: bytes) -> None:
        """See ``Receiver.finish``."""
        self._send("end", lines)

    def flushed(self) -> bool:
        """Return True: the other node tells when something could not be sent."""
        return True

    def give_up_unread(self) -> None:
        """Do nothing: where the answer is, ``Relaying.receive`` sees to it."""

    def abort(self) -> None:
        """See ``Receiver.abort``."""
        self._send("abort")

    def gone(self, sure: bool) -> None:
        """Note that the request has ended there."""
        self._client.lost(self, sure)

    def broken(self) -> None:
        """Note that its whole response has perhaps not been read."""
        self._client.broken(self)

    def leave(self) -> None:
        """Note that its node begins to close."""
        self._client.move_on(self)

    def slow(self) -> None:
        """Note that its client does not read."""
        self._client.slow_on(self)

    def _send(self, what: str, lines: bytes = b"") -> None:
        self._relay.send(self.node_id, _message([what, self._relay.node_id, self._number], lines), self._sent)

    def _sent(self, arrived: bool) -> None:
        if not arrived:
            self.cut_off()

    def cut_off(self) -> None:
        """Note that something which was sent there has perhaps not arrived."""
        self.gone(False)
        self.broken()


class ForwardedReceive:
    """A receive request of this node whose session is at another one."""

    __slots__ = ("_heard_at", "_nobody", "_number", "_owner", "_receiving", "_relaying", "tick")

    def __init__(
        self, relaying: "Relaying", owner: str, number: int, receiving: Receiving, nobody: Callable[[], None]
    ) -> None:
        self.tick = 0
        self._relaying = relaying
        self._owner = owner
        self._number = number
        self._receiving = receiving
        self._nobody = nobody
        self._heard_at = relaying.context.clock()

    # -- the session's side --

    def sent(self, arrived: bool) -> None:
        """Note whether the session's node got the request."""
        if not arrived:
            self.answered("none", b"")

    def answered(self, what: str, lines: bytes) -> None:
        """Do what the session's node says."""
        self._heard_at = self._relaying.context.clock()
        if what in ("lines", "last"):
            self._receiving.write(lines, what == "last")
            return
        self._relaying.forget(self._number, self)
        if what == "end":
            self._receiving.finish(lines)
        elif what == "none":
            self._nobody()
        else:
            self._receiving.abort()

    # -- the connection's side --

    def lost(self, receiver: Receiving, sure: bool) -> None:
        """Tell the session's node."""
        self._relaying.forget(self._number, self)
        self._relaying.tell(self._owner, ["gone", self._number, sure])

    def broken(self, receiver: Receiving) -> None:
        """Tell the session's node."""
        self._relaying.tell(self._owner, ["broken", self._number])

    def slow(self) -> None:
        """Tell the session's node, which has the last word to the client."""
        self._relaying.tell(self._owner, ["slow", self._number])

    # -- this node's side --

    def leave(self) -> None:
        """Tell the session's node that this one begins to close."""
        self._relaying.tell(self._owner, ["leaving", self._number])

    # -- the wheel's side --

    def check(self, now: float) -> float | None:
        """Give up when nothing has come for too long."""
        due = self._heard_at + self._relaying.context.limits.relay_patience
        if now < due:
            return due
        self.abort()
        return None

    def abort(self) -> None:
        """Drop the connection: its client reconnects."""
        self._relaying.forget(self._number, self)
        self._receiving.abort()


class Relaying:
    """Both sides of requests that are passed on.

    Args:
        context: Shared by all clients.
        relay: Not started yet.
    """

    def __init__(self, context: XhrContext, relay: Relay) -> None:
        self.context = context
        self.tick = 0
        self.node_id = relay.node_id
        self._relay = relay
        self._numbers = 0
        self._receives: dict[int, ForwardedReceive] = {}
        self._sends: dict[int, asyncio.Future[Outcome]] = {}
        self._remotes: WeakValueDictionary[tuple[str, int], RemoteReceiver] = WeakValueDictionary()
        self._newest: WeakValueDictionary[Key, Receiving] = WeakValueDictionary()  # of each session
        self._passed = context.passed_on
        context.forgotten = self._release
        relay.start(self)
        context.wheel.schedule(self, context.clock() + KEPT / 3)

    # -- requests that land here --

    def claim(self, key: Key, then: Found) -> None:
        """Make a session without an owner this node's; ``then`` gets None, or the node that has it."""
        self._relay.claim(_name(key), then)

    def take(self, key: Key) -> None:
        """Make a session this node's whose node is gone."""
        self._relay.take(_name(key))

    def give_up(self, key: Key) -> None:
        """Leave a session that was claimed and didn't come to be."""
        self._release(key)

    def receive(
        self, owner: str, key: Key, marks: tuple[str | None, ...], receiving: Receiving, nobody: Callable[[], None]
    ) -> None:
        """Pass a receive request on; ``nobody`` is called when its session is not at that node any more."""
        self._passed.add("receive")
        before = self._newest.get(key)
        if before is not None:
            before.give_up_unread()
        self._newest[key] = receiving
        number = self._next()
        forwarded = self._receives[number] = ForwardedReceive(self, owner, number, receiving, nobody)
        receiving.client = forwarded
        self.context.wheel.schedule(forwarded, self.context.clock() + self.context.limits.relay_patience)
        asked = ["receive", self._relay.node_id, number, *key, receiving.streaming, marks]
        self._relay.send(owner, _message(asked), forwarded.sent)
        if self.context.closing():
            forwarded.leave()

    async def send(self, key: Key, origin: str | None, body: bytes) -> Outcome | None:
        """Pass a request to send on and return its outcome; None when no node has the session."""
        found: asyncio.Future[str | Unavailable | None] = asyncio.get_running_loop().create_future()
        self._relay.owner(_name(key), lambda owner: None if found.done() else found.set_result(owner))
        owner = await found
        if owner is None or owner == self._relay.node_id:
            return None
        if isinstance(owner, Unavailable):
            return AWAY
        self._passed.add("send")
        number = self._next()
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._sends[number] = outcome

        def sent(arrived: bool) -> None:
            if not arrived and not outcome.done():
                outcome.set_result(AWAY)

        self._relay.send(owner, _message(["send", self._relay.node_id, number, *key, origin], body), sent)
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                return await outcome
        except TimeoutError:
            return AWAY
        finally:
            del self._sends[number]

    def leave(self) -> None:
        """Send those elsewhere whose receive requests this node has passed on: it begins to close."""
        for forwarded in list(self._receives.values()):
            forwarded.leave()

    def forget(self, number: int, forwarded: ForwardedReceive) -> None:
        """Forget a receive request that has ended."""
        self._receives.pop(number, None)
        self.context.wheel.cancel(forwarded)

    def tell(self, node_id: str, what: list[Any]) -> None:
        """Tell the session's node something about a request."""
        self._relay.send(node_id, _message([what[0], self._relay.node_id, *what[1:]]))

    # -- the relay's side --

    def message(self, payload: bytes) -> None:
        """Take a message. What is none is ignored: newer versions, or others, may use the same Redis."""
        head, _, rest = payload.partition(b"\n")
        try:
            match loads(head):
                case ["receive", str(node), int(number), str(app), str(session), bool(streaming), list(marks)]:
                    self._receive(node, number, (app, session), streaming, tuple(marks))
                case ["send", str(node), int(number), str(app), str(session), str() | None as origin]:
                    self._send(node, number, (app, session), origin, rest)
                case ["gone", str(node), int(number), bool(sure)]:
                    if remote := self._remotes.get((node, number)):
                        remote.gone(sure)
                case ["broken", str(node), int(number)]:
                    if remote := self._remotes.get((node, number)):
                        remote.broken()
                case ["leaving", str(node), int(number)]:
                    if remote := self._remotes.get((node, number)):
                        remote.leave()
                case ["slow", str(node), int(number)]:
                    if remote := self._remotes.get((node, number)):
                        remote.slow()
                case [("lines" | "last" | "end" | "abort" | "none") as what, str(), int(number)]:
                    if forwarded := self._receives.get(number):
                        forwarded.answered(what, rest)
                case ["done", str(), int(number), int(status), str(message)]:
                    outcome = self._sends.get(number)
                    if outcome is not None and not outcome.done():
                        outcome.set_result((status, message))
                case _:
                    log.debug("a message of another node is unknown")
        except JSONDecodeError:
            log.debug("a message of another node is unreadable")
        except Exception:
            log.exception("unexpected error while a message of another node was worked on")

    def cut_off(self) -> None:
        """Give up what is passed on: something of it may be lost."""
        for forwarded in list(self._receives.values()):
            forwarded.abort()
        for outcome in self._sends.values():
            if not outcome.done():
                outcome.set_result(AWAY)
        for remote in list(self._remotes.values()):
            remote.cut_off()

    # -- the wheel's side --

    def check(self, now: float) -> float | None:
        """Go on owning the sessions."""
        self._relay.keep([_name(key) for key in self.context.sessions.names()])
        return now + KEPT / 3

    def abort(self) -> None:
        """The wheel ends."""

    # -- requests of other nodes --

    def _receive(self, node_id: str, number: int, key: Key, streaming: bool, marks: tuple[str | None, ...]) -> None:
        client: XhrClient | None = self.context.sessions.get(key)
        if client is None:
            self._relay.send(node_id, _message(["none", self._relay.node_id, number]))
        elif client.marks != marks:
            self.context.refused.add(str(ANOTHERS.code))
            lines = refusal_lines(ANOTHERS)
            self._relay.send(node_id, _message(["end", self._relay.node_id, number], lines))
        else:
            remote = RemoteReceiver(self._relay, node_id, number, client, streaming=streaming)
            self._remotes[node_id, number] = remote
            client.attach(remote)

    def _send(self, node_id: str, number: int, key: Key, origin: str | None, body: bytes) -> None:
        outcome = work_on(self.context.sessions.get(key), origin, body)
        if isinstance(outcome, tuple):
            self._done(node_id, number, outcome)
        else:
            outcome.add_done_callback(lambda _: self._done(node_id, number, DONE))

    def _done(self, node_id: str, number: int, outcome: Outcome) -> None:
        self._relay.send(node_id, _message(["done", self._relay.node_id, number, *outcome]))

    def _release(self, key: Key) -> None:
        self._relay.release(_name(key))

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers


def _name(key: Key) -> str:
    return "\0".join(key)


def _message(head: list[Any], body: bytes = b"") -> bytes:
    return dumps(head) + b"\n" + body
