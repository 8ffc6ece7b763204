"""What is fuzzed. A target takes bytes, treats them as the server treats a stranger's, and raises when that goes wrong.

A target lets the errors pass that are documented, and nothing else. Where there is a fast path, it also asks the
general one and compares.
"""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from websockets.frames import Frame
from websockets.protocol import OPEN

from sockudo_py.config.load import load, read_app
from sockudo_py.edge.context import FrontLimits
from sockudo_py.edge.http1.head import BadHead, Head, HeadReader, next_head
from sockudo_py.edge.websocket.handshake import Handshake, Handshakes, nonce, problem_with
from sockudo_py.endpoints import ChannelFilter
from sockudo_py.errors import ConfigError
from sockudo_py.http.auth import authenticate, is_signed_as_usual
from sockudo_py.http.messages import ApiRequest
from sockudo_py.http.query import TooManyParameters, read_signed
from sockudo_py.management.requests import models
from sockudo_py.management.requests.values import Refused
from sockudo_py.protocol import codec
from sockudo_py.protocol.channels.table import classify, is_private, valid_channel_name
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Claim
from sockudo_py.webhooks.endpoints.filters import compile_filter, filter_problems
from sockudo_py.ws.deflate import Compression
from sockudo_py.ws.frames import FrameReader, FrameReaders, begins_plain, only_message, plain_messages
from sockudo_py.ws.turns import Turns
from sockudo_py.xhr.frames import BadBody, read_messages
from tests.support.edge_bench import APP, KEY, SECRET, TEXT, Bench, Peer, frame, upgrade

Target = Callable[[bytes], object]

LIMIT: Final = 500
NOW: Final = 1_700_000_000.0


class _Errors(logging.Handler):
    """Gathers what the server says of errors of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))

    def forget(self) -> None:
        """Forget what was said before, by what other tests of this process made."""
        self.told.clear()

    def check(self) -> None:
        """Raise AssertionError with what was said."""
        told, self.told = self.told, []
        assert not told, told[0]


errors = _Errors()
logging.getLogger("sockudo_py").addHandler(errors)


def _with_turns(bench: Bench) -> Bench:
    """Return the bench; what doesn't fit into a turn of the loop goes on when its loop advances."""
    bench.connections.turns = Turns(bench.loop.call_soon)
    return bench


_BENCH = _with_turns(Bench(limits=FrontLimits(max_head_bytes=2000, max_body_bytes=2000), max_message_bytes=LIMIT))
_DEFLATING = _with_turns(Bench(max_message_bytes=LIMIT, compress=True))


def _deliver(bench: Bench, peer: Peer, stream: bytes, step: int) -> None:
    for at in range(0, len(stream), step):
        if peer.transport.closed or not peer.transport.reading:
            break
        peer.transport.protocol.data_received(stream[at : at + step])
        bench.loop.advance()


def _pieces(data: bytes) -> tuple[int, bytes]:
    """Return the size of the pieces that the first byte asks for, and the rest."""
    return (data[0] or 1_000_000, data[1:]) if data else (1, b"")


# -- the port --


def requests(data: bytes) -> None:
    """A connection's bytes, in pieces of a size; no error of the server's, and it is forgotten afterwards."""
    step, stream = _pieces(data)
    peer = _BENCH.dial()
    _deliver(_BENCH, peer, stream, step)
    peer.lose()
    _BENCH.loop.advance(60)  # clients of HTTP transports get some seconds to come back
    errors.check()
    assert (_BENCH.connections.open.count, _BENCH.node.connections()) == (0, 0)


def known_requests(data: bytes) -> None:
    """A connection's bytes for the first time, and again when the port has seen their like: the same comes of them."""
    bench = Bench(limits=FrontLimits(max_head_bytes=2000, max_body_bytes=2000), transports=None)
    answered = [_asked(bench, data) for _ in range(3)]
    errors.check()
    assert answered == answered[:1] * 3


def _asked(bench: Bench, stream: bytes) -> object:
    peer = bench.dial()
    _deliver(bench, peer, stream, 1_000_000)
    written, transport = peer.transport.take(), peer.transport
    told = [(request.method, request.path, request.query, request.body) for request in bench.api.requests]
    bench.api.requests.clear()
    given_away = [each.received for each in bench.fallbacks]
    bench.fallbacks.clear()
    peer.lose()
    return _SOCKET_ID.sub(b"", written), told, given_away, transport.closed, transport.eof


# A greeting differs in its socket id, and so in its length.
_SOCKET_ID = re.compile(rb'[0-9]+\.[0-9]+|\x81.(?=\{"event":"pusher:connection_established")', re.DOTALL)


def frames(data: bytes) -> None:
    """What a WebSocket client sends: in pieces it is answered as it is in one piece."""
    step, stream = _pieces(data)
    whole, cut = _answers(_BENCH, stream, 1_000_000), _answers(_BENCH, stream, step)
    errors.check()
    assert cut == whole


def deflated_frames(data: bytes) -> None:
    """The same of a client that compresses."""
    step, stream = _pieces(data)
    whole, cut = _answers(_DEFLATING, stream, 1_000_000), _answers(_DEFLATING, stream, step)
    errors.check()
    assert cut == whole


def _answers(bench: Bench, stream: bytes, step: int) -> object:
    peer = bench.dial()
    peer.send(upgrade(f"/app/{KEY}?protocol=7", "Sec-WebSocket-Extensions: permessage-deflate"))
    peer.transport.take()
    _deliver(bench, peer, stream, step)
    answers, transport = peer.transport.take(), peer.transport
    peer.lose()
    return answers, transport.closed, transport.eof


_COMPRESSION = Compression(LIMIT)


def inflating(data: bytes) -> None:
    """Frames of which the data is compressed: no more than the bound is ever received."""
    agreement = _COMPRESSION.agree("permessage-deflate")
    assert agreement is not None
    reader = FrameReader(LIMIT, None if not data else agreement.readers.take().extensions[0])
    for part in data.split(b"\n\n"):
        for received in reader.read(frame(TEXT, part, rsv=4)):
            if not isinstance(received, Frame):
                assert len(received) <= LIMIT


def offers(data: bytes) -> None:
    """An offer of extensions is met with one of two windows, or declined."""
    agreement = _COMPRESSION.agree(data.decode("latin-1"))
    assert agreement is None or agreement.bits in (9, 12)


def plain_frames(data: bytes) -> None:
    """The fast paths of frames read what the library reads."""
    texts, end = plain_messages(data, 0, 1_000, LIMIT)
    reader = FrameReaders(LIMIT).take()
    assert reader.read(data[:end]) == texts
    assert reader.at_rest
    only = only_message(data, LIMIT)
    assert ([only] if only is not None else []) == (texts if len(texts) == 1 and end == len(data) else [])
    if end < len(data) and begins_plain(data, end, LIMIT):
        assert reader.read(data[end:]) == []
        assert reader.state is OPEN


def heads(data: bytes) -> None:
    """A head, read twice by the reader that remembers, is what the parser makes of it, or a BadHead."""
    if not data:
        return
    reader = HeadReader(2000)
    expected = _head(lambda: next_head(data, 0, 2000))
    assert [_head(lambda: reader.next(data, 0)) for _ in range(2)] == [expected] * 2
    whole = reader.whole(data)
    if whole is not None:
        head, end = next_head(data, 0, 2000)
        assert head is not None
        assert (whole[1:], whole[0].plain_length) == ((head.path, head.query, data[end:]), len(data) - end)


def _head(read: Callable[[], tuple[Head | None, int]]) -> object:
    try:
        head, end = read()
    except BadHead as refused:
        return str(refused)
    if head is None:
        return end
    facts = [getattr(head.fields, name) for name in head.fields.__slots__ if name != "text_headers"]
    return head.method, head.path, head.query, facts, dict(head.fields.text_headers), end


def handshakes(data: bytes) -> None:
    """A handshake that is recalled by another one's bytes means what the parser makes of it."""
    known = Handshakes()
    for each in (upgrade(), data, data):
        found = known.find(each)
        try:
            head, end = next_head(each, 0, 2000) if each else (None, 0)
        except BadHead:
            head, end = None, 0
        sound = head is not None and head.method == b"GET" and problem_with(head) is None
        if found is not None:
            assert head is not None
            assert sound
            assert end == len(each)
            asked = Handshake(head, "")
            assert nonce(head) == found[1]
            assert all(getattr(asked, name) == getattr(found[0], name) for name in asked.__slots__)
        elif head is not None and sound:
            known.remember(each[:end], head, Handshake(head, ""))


def signatures(data: bytes) -> None:
    """Whatever query is signed: what the short way accepts is accepted by all rules, which never raise."""
    line, _, body = data.partition(b"\n")
    query = line.decode("utf-8", "surrogateescape")
    text = f"POST\n/apps/3/events\n{query}".encode("utf-8", "surrogateescape")
    signature = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    for asked in (query, f"{query}&auth_signature={signature}"):
        request = ApiRequest("POST", "/apps/3/events", asked, {}, body, "")
        try:
            read = read_signed(asked)
        except TooManyParameters:
            assert not is_signed_as_usual(request, APP, NOW)
            continue
        refused = authenticate(request, APP, read, NOW)
        assert refused is None or 400 <= refused.status < 500
        if is_signed_as_usual(request, APP, NOW):
            assert refused is None
            assert read.others == {}


# -- the protocol --


def _say(message: Mapping[str, Any] | bytes) -> None:
    """Let a client say this; the server answers or closes, and has no error of its own."""
    peer = _TALKING.websocket()
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    peer.send(frame(TEXT, text))
    peer.frames()
    peer.lose()
    errors.check()
    assert _TALKING.node.connections() == 0


_TALKING = Bench(max_message_bytes=100_000)


def messages(data: bytes) -> None:
    """A text message as it is."""
    _say(data[:100_000])


def _signed(data: bytes, make: Callable[[str, str], tuple[str, dict[str, Any]]]) -> list[tuple[int, bytes]]:
    text = data.decode("utf-8", "replace")[:20_000]
    peer = _TALKING.websocket()
    signed, message = make(peer.socket_id, text)
    auth = hmac.new(SECRET.encode(), signed.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    message["data"]["auth"] = f"{KEY}:{auth}"
    peer.send(frame(TEXT, json.dumps(message)))
    answered = peer.frames()
    peer.lose()
    errors.check()
    assert answered
    return answered


def channel_data(data: bytes) -> list[tuple[int, bytes]]:
    """``channel_data`` of a presence channel that is signed as it ought to be. Return what is answered."""

    def make(socket_id: str, text: str) -> tuple[str, dict[str, Any]]:
        asked = {"channel": "presence-x", "channel_data": text}
        return f"{socket_id}:presence-x:{text}", {"event": "pusher:subscribe", "data": asked}

    return _signed(data, make)


def user_data(data: bytes) -> list[tuple[int, bytes]]:
    """``user_data`` of a sign-in that is signed as it ought to be. Return what is answered."""

    def make(socket_id: str, text: str) -> tuple[str, dict[str, Any]]:
        return f"{socket_id}::user::{text}", {"event": "pusher:signin", "data": {"user_data": text}}

    return _signed(data, make)


def channel_names(data: bytes) -> None:
    """Whether a name is private is answered as its class answers it; an event of parts is one made whole."""
    name = data.decode("utf-8", "replace")
    row = classify(name)
    assert is_private(name) == row.private
    whole = codec.server_event(name, name, name)
    assert codec.event(name, codec.json_string(name), codec.json_string(name)) == whole
    assert json.loads(whole) == {"event": name, "data": name, "channel": name}


def own_jobs(data: bytes) -> None:
    """A job of our own events is what its text says, whether it was read or not."""
    try:
        if not isinstance(orjson.loads(data), dict):
            return
    except orjson.JSONDecodeError:
        return
    told = Append("e1", "wh", "app", b"{}", 7, own=True)
    text = jobs.encode_events(told, (data, data))
    assert jobs.decode(text, own=2) == jobs.decode(text)
    assert jobs.decode(text, own=2).events() == jobs.decode(text).events()
    made = jobs.fresh(told, (data, data))
    fresh = jobs.encode_fresh(made)
    assert jobs.of_claim(Claim("t", fresh, 2, made)) == jobs.of_claim(Claim("t", fresh, 2)) == jobs.decode(fresh)


# -- configuration --


def _explained(error: ConfigError) -> None:
    assert error.problems


def configurations(data: bytes) -> None:
    """A configuration's file: a configuration, or a ConfigError that names what is wrong."""
    try:
        load(Path("config.json"), {}, read=lambda path: data)
    except ConfigError as error:
        _explained(error)


def apps(data: bytes) -> None:
    """A file that holds one app."""
    try:
        read_app(data, "app.json", {})
    except ConfigError as error:
        _explained(error)


def environments(data: bytes) -> None:
    """Variables, a line each."""
    env = dict(line.partition("=")[::2] for line in data.decode("utf-8", "replace").split("\n") if "=" in line)
    try:
        load(None, env)
    except ConfigError as error:
        _explained(error)


_BODIES = (models.EndpointBody, models.RotateBody, models.TestBody, models.ProjectBody, models.LinkBody, models.NoBody)


def management(data: bytes) -> None:
    """A body of the management API, read as each of its models: a model, or a Refused with 4xx."""
    body = _object(data)
    if body is None:
        return
    for model in _BODIES:
        try:
            read: object = models.read(model, body)
        except Refused as refused:
            read = refused
        assert isinstance(read, model) or (isinstance(read, Refused) and 400 <= read.status < 500)


_FILTER_KEYS = frozenset(ChannelFilter.__dataclass_fields__)
_NAMES = ("chat", "private-chat.1", "presence-" + "a" * 150, "private-encrypted-x", "cache-" + "ab" * 50)


def filters(data: bytes) -> None:
    """A filter has problems, or becomes a test that answers for every channel's name."""
    body = _object(data)
    if body is None:
        return
    given: dict[str, Any] = {name: str(value) for name, value in body.items() if name in _FILTER_KEYS}
    if "channel_namespaces" in given:
        given["channel_namespaces"] = tuple(re.split(r"\s+", given["channel_namespaces"]))
    wanted = ChannelFilter(**given)
    if filter_problems(wanted):
        try:
            compile_filter(wanted)
        except ValueError:
            return
        raise AssertionError("a filter with problems was compiled")
    test = compile_filter(wanted)
    for name in _NAMES:
        assert valid_channel_name(name)
        assert test is None or test(name) in (True, False)


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


# -- HTTP transports --


def xhr_bodies(data: bytes) -> None:
    """A body of messages: at most 100 texts, or a BadBody."""
    try:
        read = read_messages(data)
    except BadBody:
        return
    assert len(read) <= 100
    assert all(isinstance(each, str) for each in read)


def xhr_sends(data: bytes) -> None:
    """The same body over the port, to a session that receives."""
    bench = Bench(max_message_bytes=LIMIT)
    path = f"/pusher/app/{KEY}/123/abcdefgh"
    receiver, sender = bench.dial(), bench.dial()
    receiver.send(_post(f"{path}/xhr_streaming?protocol=7&client=js&version=8.6.0&t=1&n=1", b""))
    sender.send(_post(f"{path}/xhr_send?t=1&n=2", data[:3000]))
    bench.loop.advance()
    answered = sender.transport.take()
    assert re.match(rb"HTTP/1\.1 (204|4\d\d) ", answered) or not answered, answered[:60]
    receiver.lose()
    sender.lose()
    bench.loop.advance(60)
    errors.check()
    assert bench.node.connections() == 0


def _post(target: str, body: bytes) -> bytes:
    return f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


TARGETS: Final[Mapping[str, Target]] = {
    each.__name__: each
    for each in (
        requests,
        known_requests,
        frames,
        deflated_frames,
        inflating,
        offers,
        plain_frames,
        heads,
        handshakes,
        signatures,
        messages,
        channel_data,
        user_data,
        channel_names,
        own_jobs,
        configurations,
        apps,
        environments,
        management,
        filters,
        xhr_bodies,
        xhr_sends,
    )
}
