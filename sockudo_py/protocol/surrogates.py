"""JSON texts with lone surrogates, as old JavaScript makes them of half an emoji: ``{"t":"\\ud83d"}``.

JSON's grammar allows them, Unicode has no such character, and orjson refuses them. Each becomes U+FFFD, as it does in
browsers' WebSockets and in what Node signs; so signatures over such texts are right here too.
"""

import re
from typing import Any, Final

from orjson import JSONDecodeError
from orjson import loads as _strict

_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE: Final = re.compile(  # begins with what nearly no text has, so that the rest is passed over quickly
    rf"\\u[dD](?:[89abAB][0-9a-fA-F]{{2}}(?!{_LOW})|(?<!{_HIGH}\\u[dD])[c-fC-F][0-9a-fA-F]{{2}})"
)
_BACKSLASH: Final = "\\\\"  # as JSON spells it: the ``u`` after it is only a letter
_STAND_IN: Final = "\0\0"  # for it; no JSON text has a NUL


def loads(text: str | bytes) -> Any:
    """Return what a JSON text holds, with U+FFFD for lone surrogates. Raises JSONDecodeError.

    A bytes may be UTF-8, and have surrogates in the three bytes that UTF-8 would have for them.
    """
    try:
        return _strict(text)
    except JSONDecodeError:
        return loads_again(text)


def loads_again(text: str | bytes) -> Any:
    """Do what ``loads`` does for a text that orjson has just refused. Raises JSONDecodeError."""
    if not isinstance(text, str):
        try:
            text = text.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return _strict(text)  # raises, and tells where
    mended = without_surrogates(text)
    if ("\\ud" in mended or "\\uD" in mended) and "\0" not in mended:
        mended = _LONE.sub(r"\\ufffd", mended.replace(_BACKSLASH, _STAND_IN)).replace(_STAND_IN, _BACKSLASH)
    return _strict(mended)


def without_surrogates(text: str) -> str:
    """Return the text with U+FFFD for each lone surrogate; two halves of one character are joined."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
