"""What ``redis-cli WORD ...`` prints into a pipe, for scripts of operators: the package with redis-server has none.

Talks to ``$REDIS_PORT`` of this machine. Run as a program; ``install`` puts it into a folder under its usual name.
"""

import os
import socket
import sys
from pathlib import Path
from typing import BinaryIO


def install(folder: Path) -> None:
    """Put an executable ``redis-cli`` into ``folder``."""
    program = folder / "redis-cli"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{Path(__file__).resolve()}" "$@"\n')
    program.chmod(0o755)


def main(words: list[str]) -> int:
    """Send one command and print its answer. Returns the exit code."""
    with socket.create_connection(("127.0.0.1", int(os.environ["REDIS_PORT"])), 60) as connection:
        encoded = [os.fsencode(word) for word in words]
        connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in encoded))
        with connection.makefile("rb") as answer:
            show(answer)
    return 0


def show(answer: BinaryIO) -> None:
    """Print an answer line by line, as redis-cli does when its output is no terminal."""
    kind, value = (line := answer.readline().rstrip(b"\r\n"))[:1], line[1:]
    if kind == b"*":
        for _ in range(max(0, int(value))):
            show(answer)
        return
    if kind == b"$":
        length = int(value)
        value = answer.read(length + 2)[:length] if length >= 0 else b""
    sys.stdout.buffer.write(value + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
