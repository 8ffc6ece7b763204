"""Messages between the supervisor and a worker."""

import asyncio
import socket
from typing import Any

import pytest

from sockudo_py.supervisor.wire import MOST, Said, Wire


def test_messages_come_whole_however_they_are_cut() -> None:
    heard: list[Said] = []
    wire = Wire(heard.append, lambda: None)
    texts = [b'{"say":"ready"}', b'{"say":"failed","problems":["\xc3\xa4"]}']
    stream = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
    for at in range(len(stream)):
        wire.data_received(stream[at : at + 1])
    wire.data_received(stream)
    assert heard == [{"say": "ready"}, {"say": "failed", "problems": ["ä"]}] * 2


def test_a_message_has_a_longest_size() -> None:
    wire = Wire(lambda _: None, lambda: None)
    with pytest.raises(ValueError, match="a message of"):
        wire.data_received(MOST.to_bytes(4, "big"))


async def test_both_ends_talk_and_hear_of_the_end() -> None:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    ended = asyncio.Event()
    one, other = Wire(heard.put_nowait, lambda: None), Wire(heard.put_nowait, ended.set)
    for wire, sock in zip((one, other), socket.socketpair(), strict=True):
        sock.setblocking(False)
        await loop.create_unix_connection(lambda wire=wire: wire, sock=sock)  # type: ignore[misc]
    one.say("ask", what="state")
    assert await heard.get() == {"say": "ask", "what": "state"}
    one.close()
    await asyncio.wait_for(ended.wait(), 10)
    other.say("state")  # lost, and no error
