"""RFC 6455 case by case over a real server: what Autobahn's fuzzing client asks for, in sections 2 to 7 of its own.

Each case goes out in one write and in many: what is answered, and in which order, must not depend on the pieces.
"""

import asyncio
from collections.abc import Iterable

import pytest

from tests.support.edge_bench import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame, upgrade
from tests.support.edge_stage import Peer
from tests.support.site import Site

ASK = '{"event":"pusher:ping"}'
ANSWER = (TEXT, b'{"event":"pusher:pong","data":"{}"}')
MESSAGE = frame(TEXT, ASK)
SPECIAL = "κόσμε".encode()

PIECES = 500  # at most; all cases but the longest go byte by byte

Answers = list[tuple[int, bytes]]
Case = tuple[bytes, Answers, int | None]  # what is sent, what is answered, with which code the connection ends


def in_fragments(payload: str | bytes, size: int, between: bytes = b"") -> bytes:
    """Return a text message in fragments of ``size`` bytes, with other frames between them."""
    data = payload.encode() if isinstance(payload, str) else payload
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(parts) - 1
    return between.join(frame(TEXT if at == 0 else CONT, part, fin=at == last) for at, part in enumerate(parts))


def answered(data: bytes, *answers: tuple[int, bytes]) -> Case:
    return data, list(answers), None


def closes(data: bytes, code: int, *answers: tuple[int, bytes]) -> Case:
    return data, list(answers), code


def pings() -> Iterable[tuple[str, Case]]:
    for name, payload in {
        "without payload": b"",
        "with text": b"Hello, world!",
        "with bytes that are no text": b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff",
        "with 125 bytes": b"\xfe" * 125,
    }.items():
        yield f"a ping {name}", answered(frame(PING, payload), (PONG, payload))
    yield "a ping with 126 bytes", closes(frame(PING, b"\xfe" * 126), 1002)
    yield "a pong that nobody asked for", answered(frame(PONG, ""))
    yield "such a pong before a ping", answered(frame(PONG, "unasked") + frame(PING, "p"), (PONG, b"p"))
    many = [str(number).encode() for number in range(10)]
    yield "ten pings", answered(b"".join(frame(PING, each) for each in many), *((PONG, each) for each in many))
    yield "a ping between messages", answered(MESSAGE + frame(PING, "p") + MESSAGE, ANSWER, (PONG, b"p"), ANSWER)


def reserved() -> Iterable[tuple[str, Case]]:
    for bits in range(1, 8):
        yield f"reserved bits {bits:03b}", closes(MESSAGE + frame(TEXT, ASK, rsv=bits) + MESSAGE, 1002, ANSWER)
    for opcode in (PING, CLOSE, BINARY):
        yield f"a reserved bit, opcode {opcode}", closes(frame(opcode, "", rsv=4), 1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"opcode {opcode}", closes(MESSAGE + frame(opcode, "") + frame(PING, ""), 1002, ANSWER)
        yield f"opcode {opcode} with payload", closes(frame(opcode, "x"), 1002)
    yield "a frame without a mask", closes(MESSAGE + frame(TEXT, ASK, masked=False), 1002, ANSWER)


def lengths() -> Iterable[tuple[str, Case]]:
    for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
        for size in (2, 8):
            data = MESSAGE + frame(opcode, "x", length_bytes=size)
            yield f"opcode {opcode}, a length of 1 in {size} bytes", closes(data, 1002, ANSWER)
    yield "a length of 125 in 2 bytes", closes(frame(TEXT, "x" * 125, length_bytes=2), 1002)
    yield "a length of 65535 in 8 bytes", closes(frame(BINARY, "x" * 65535, length_bytes=8), 1002)
    yield "a fragment's length in 2 bytes", closes(frame(TEXT, ASK, fin=False) + frame(CONT, "", length_bytes=2), 1002)
    yield "65537 bytes", closes(frame(TEXT, "x" * 65537), 1009)
    yield "65537 bytes in fragments", closes(in_fragments("x" * 65537, 60_000), 1009)
    yield "the largest length", closes(bytes([0x81, 0xFF]) + b"\xff" * 8, 1009)


def fragments() -> Iterable[tuple[str, Case]]:
    ping, pong = frame(PING, "p"), (PONG, b"p")
    for opcode in (PING, PONG):
        yield f"opcode {opcode} in fragments", closes(frame(opcode, "a", fin=False) + frame(CONT, "b"), 1002)
    yield "a message in two fragments", answered(in_fragments(ASK, 12), ANSWER)
    yield "a message byte by byte", answered(in_fragments(ASK, 1), ANSWER)
    yield "with an empty fragment", answered(in_fragments(ASK, 12, frame(CONT, "", fin=False)), ANSWER)
    yield "a ping between two fragments", answered(in_fragments(ASK, 12, ping), pong, ANSWER)
    yield (
        "a ping after each byte of a message",
        answered(in_fragments(ASK, 1, ping) + ping, *[pong] * (len(ASK) - 1), ANSWER, pong),
    )
    yield (
        "pings around and within messages",
        answered(
            ping + in_fragments(ASK, 8, ping) + ping + MESSAGE + in_fragments(ASK, 12, ping * 2),
            *[pong] * 3,
            ANSWER,
            pong,
            ANSWER,
            pong,
            pong,
            ANSWER,
        ),
    )
    for fin in (True, False):
        data = frame(CONT, ASK, fin=fin)
        yield f"a continuation of nothing, {fin=}", closes(data + MESSAGE, 1002)
        yield f"a continuation after a whole message, {fin=}", closes(MESSAGE + data, 1002, ANSWER)
        yield f"a continuation after a message in fragments, {fin=}", closes(in_fragments(ASK, 9) + data, 1002, ANSWER)
    for opcode in (TEXT, BINARY):
        begun = frame(TEXT, "a", fin=False)
        yield f"opcode {opcode} within a message", closes(begun + frame(opcode, "b"), 1002)
        yield (
            f"opcode {opcode} begun within a message",
            closes(begun + ping + frame(opcode, "b", fin=False), 1002, pong),
        )


def texts() -> Iterable[tuple[str, Case]]:
    text = '{"event":"pusher:ping","data":"' + SPECIAL.decode() + '\U0010ffff"}'
    yield "text beyond ASCII", answered(frame(TEXT, text), ANSWER)
    for size in (1, 2, 3, 40):
        yield f"text beyond ASCII in fragments of {size}", answered(in_fragments(text, size), ANSWER)
    for name, payload in {
        "a surrogate": b"\xed\xa0\x80",
        "past the last code point": b"\xf4\x90\x80\x80",
        "an overlong slash": b"\xc0\xaf",
        "a lone continuation byte": b"\x80",
        "half a character": SPECIAL[:-1],
        "0xff": b"abc\xff",
    }.items():
        yield f"{name} in text", closes(MESSAGE + frame(TEXT, payload) + MESSAGE, 1007, ANSWER)
        yield f"{name} in fragments", closes(in_fragments(payload, 1) + MESSAGE, 1007)
    before = frame(TEXT, SPECIAL, fin=False)
    yield "a fragment that is wrong, with the end missing", closes(before + frame(CONT, b"\xf4\x90", fin=False), 1007)


def ends() -> Iterable[tuple[str, Case]]:
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield f"close {code}", closes(frame(CLOSE, code.to_bytes(2, "big") + b"bye"), code)
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        yield f"close {code}", closes(frame(CLOSE, code.to_bytes(2, "big")), 1002)
    yield "close without code", closes(frame(CLOSE, b""), 0)
    yield "close with one byte", closes(frame(CLOSE, b"\x03"), 1002)
    yield "close with a reason of 123 bytes", closes(frame(CLOSE, b"\x03\xe8" + b"*" * 123), 1000)
    yield "close with a reason of 124 bytes", closes(frame(CLOSE, b"\x03\xe8" + b"*" * 124), 1002)
    yield "close with a reason that is not UTF-8", closes(frame(CLOSE, b"\x03\xe8" + SPECIAL + b"\xed\xa0\x80"), 1007)
    bye = frame(CLOSE, b"\x03\xe8")
    yield "a message before the close", closes(MESSAGE + bye, 1000, ANSWER)
    yield "a close within a message", closes(frame(TEXT, "a", fin=False) + bye, 1000)
    yield "a ping before the close", closes(frame(PING, "p") + bye, 1000, (PONG, b"p"))


CASES = dict([*pings(), *reserved(), *lengths(), *fragments(), *texts(), *ends()])


# In one write only: who goes on writing to a server that has closed is reset, and may not get to read what it answered.
AFTER_THE_CLOSE = {
    "a message": MESSAGE,
    "a ping": frame(PING, ""),
    "another close": frame(CLOSE, b"\x03\xe9"),
    "a breach": frame(3, ""),
}


async def answers(peer: Peer) -> tuple[Answers, int | None]:
    """Return the frames up to the answer to the ping ``end`` or to the close frame, and the code of that one."""
    frames: Answers = []
    while True:
        opcode, payload = await peer.frame()
        if opcode == CLOSE:
            assert await peer.ended() == b"", "nothing follows a close frame"
            return frames, int.from_bytes(payload[:2], "big")
        if (opcode, payload) == (PONG, b"end"):
            return frames, None
        frames.append((opcode, payload))


@pytest.mark.parametrize("whole", [True, False], ids=["in one write", "in many"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_case_of_the_framing(site: Site, case: Case, whole: bool) -> None:
    data, expected, code = case
    assert await sent(site, data + frame(PING, "end") if code is None else data, whole) == (expected, code)


@pytest.mark.parametrize("more", AFTER_THE_CLOSE.values(), ids=AFTER_THE_CLOSE)
async def test_nothing_after_a_close_frame_is_answered(site: Site, more: bytes) -> None:
    assert await sent(site, MESSAGE + frame(CLOSE, b"\x03\xe8") + more, whole=True) == ([ANSWER], 1000)


async def sent(site: Site, data: bytes, whole: bool) -> tuple[Answers, int | None]:
    """Send ``data`` after a handshake and return what comes back, like ``answers``."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(site.server.host, site.server.port)
        peer = Peer(reader, writer)
        try:
            await peer.send(upgrade(f"/app/{site.app.key}?protocol=7"))
            assert (await peer.head())[0] == 101
            await peer.message()
            step = len(data) if whole else -(-len(data) // PIECES)
            for at in range(0, len(data), step):
                await peer.send(data[at : at + step])
                await asyncio.sleep(0)
            return await answers(peer)
        finally:
            writer.transport.abort()
