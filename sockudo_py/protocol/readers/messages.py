"""Reads what clients send, and says what is wrong with it."""

from typing import Any

from orjson import JSONDecodeError

from sockudo_py.protocol import codec
from sockudo_py.protocol.effects import Reply
from sockudo_py.protocol.surrogates import loads

Message = dict[str, Any]


def parameters(message: Message) -> Message:
    """Return the data of a ``pusher:`` message, which clients send as an object or as a string that holds one."""
    data = message.get("data")
    if type(data) is dict:
        return data
    if type(data) is not str:
        return {}
    try:
        data = loads(data)
    except JSONDecodeError:
        return {}
    return data if type(data) is dict else {}


def complaint(message: str) -> Reply:
    """Return an error that changes nothing."""
    return Reply(codec.error(None, message))
