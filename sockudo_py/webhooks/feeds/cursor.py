"""Cursors: how far a reader of a feed has come, as an opaque text. Pure."""

import base64
import binascii
import re
import secrets

from sockudo_py.protocol.values import value

_FORM = re.compile(r"1\.([0-9a-f]{1,32})\.(\d{1,4})\.(\d{1,15})\.(.*)", re.DOTALL)
_LONGEST = 1024  # characters


@value
class Cursor:
    """The place behind a delivery, as one reader has got it.

    ``reader``: who reads. ``place``: how many deliveries the answer had up to this one; 0: the cursor stands before
    all. ``read_ms``: when that answer was made, Unix milliseconds. ``delivery``: the id of this one.
    """

    reader: str
    place: int = 0
    read_ms: int = 0
    delivery: str = ""

    def encoded(self) -> str:
        """Return the word for it, of letters that need no quoting in a URL."""
        text = f"1.{self.reader}.{self.place}.{self.read_ms}.{self.delivery}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def new_reader() -> str:
    """Return a name for a reader that begins."""
    return secrets.token_hex(6)


def read_cursor(text: str) -> Cursor:
    """Return the cursor that a word stands for. Raises ValueError."""
    if len(text) > _LONGEST:
        raise ValueError("too long")
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as problem:
        raise ValueError("no cursor") from problem
    found = _FORM.fullmatch(plain)
    if found is None:
        raise ValueError("no cursor")
    reader, place, read_ms, delivery = found.groups()
    return Cursor(reader, int(place), int(read_ms), delivery)
