"""Cursors of lists that are JSON: what a page has shown last."""

import base64
from collections.abc import Sequence
from typing import Any

import orjson

from sockudo_py.management.requests.values import Refused


def write_cursor(parts: Sequence[Any]) -> str:
    """Return the cursor that holds these JSON values."""
    return base64.urlsafe_b64encode(orjson.dumps(list(parts))).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """Return the number and the text that a cursor holds. Raises Refused: 400, whatever else it is."""
    try:
        # Deep nesting is a ValueError here; the json module raises RecursionError.
        number, text = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        number = text = None
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(text, str):
        raise Refused(400, "invalid_cursor", "cursor: is none that this server has given")
    return number, text
