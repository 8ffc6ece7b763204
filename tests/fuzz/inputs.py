"""Inputs to begin with: files of ``corpus/TARGET/``, and how they are changed."""

import random
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "corpus"

# What strangers like to send: bounds of lengths, ends of lines, JSON and numbers that are none, other alphabets.
_WORDS: Final = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x81\xfe",
    b"\x88\x80",
    b"\xc1\x85",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"\xc3\xa9",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[" * 1500,
    b'{"a":' * 1500,
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"9" * 30,
    b"9" * 5000,
    b"NaN",
    b"Infinity",
    b"0.1",
    b"${X}",
    b"${",
    b"%00",
    b"%",
    b"&",
    b"=",
    b";",
    b",",
    b":",
    b"*",
    b"(a+)+$",
    b"(?P<a>",
    b"#server-to-user-",
    b"presence-cache-",
    b"A" * 300,
)


def seeds(target: str) -> list[bytes]:
    """Return the target's files, in the order of their names."""
    return [path.read_bytes() for path in sorted((FOLDER / target).iterdir())]


def changed(data: bytes, others: list[bytes], choice: random.Random) -> bytes:
    """Return the input with one to six changes; ``others`` lend it parts of theirs."""
    for _ in range(choice.randint(1, 6)):
        at = choice.randint(0, len(data))
        to = min(len(data), at + choice.choice((0, 1, 1, 2, 4, 16, 64)))
        kind = choice.randrange(6)
        if kind == 0:
            part = bytes([choice.randrange(256)])
        elif kind == 1:
            part = choice.choice(_WORDS)
        elif kind == 2:
            part = data[at:to] * choice.choice((2, 3, 70))
        elif kind == 3:
            part = b""
        elif kind == 4 and to > at:
            part = bytes([data[at] ^ 1 << choice.randrange(8)]) + data[at + 1 : to]
        else:
            other = choice.choice(others)
            begin = choice.randint(0, len(other))
            part = other[begin : begin + choice.choice((1, 8, 64, 1000))]
        data = data[:at] + part + data[to:]
    return data[:30_000]
