"""Requests and answers of the management routes as values, whatever carries them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sockudo_py.management.keys import Admin

_LATEST_MS = 253_402_300_799_000  # the end of the year 9999, which is all that dates in Python know


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of an admin. ``segments`` are the path's variables, ``body`` a JSON object; empty: there is none."""

    admin: Admin
    segments: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status as HTTP has them, and a JSON object."""

    status: int
    document: Mapping[str, Any]


class Refused(Exception):
    """The request can't be done. ``code`` is for programs, the message for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def answer(self) -> Answer:
        """Return the answer that says so."""
        return Answer(self.status, {"error": {"code": self.code, "message": str(self)}})


class Fields:
    """The fields of a request: those of its query, and those of its body, which are read strictly.

    Fields that the route does not know are refused: a misspelt filter must not mean "all".
    """

    def __init__(self, asked: Asked, known: frozenset[str]) -> None:
        self._query = asked.query
        self._body = asked.body
        unknown = sorted({*asked.query, *asked.body} - known)
        if unknown:
            raise Refused(422, "unknown_field", f"unknown: {', '.join(unknown)}; known are: {', '.join(sorted(known))}")

    def text(self, *names: str) -> str | None:
        """Return the value of the first of these fields that is given, a text that is not empty."""
        for name in names:
            value = self._value(name)
            if value is None:
                continue
            if not isinstance(value, str) or not value:
                raise Refused(422, "invalid_field", f"{name}: must be a text that is not empty")
            return value
        return None

    def words(self, name: str) -> list[str] | None:
        """Return a list of texts; in a query they are separated by commas."""
        value = self._value(name)
        if isinstance(value, str) and name not in self._body:
            return [word for word in value.split(",") if word]
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
            raise Refused(422, "invalid_field", f"{name}: must be a list of texts")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """Return a whole number from 1 to ``most``."""
        value = self._value(name)
        if value is None:
            return default
        if isinstance(value, str) and name not in self._body and value.isascii() and value.isdigit():
            value = int(value[:12])
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise Refused(422, "invalid_field", f"{name}: must be a whole number from 1 to {most}")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false; false when it is not given."""
        value = self._value(name)
        if isinstance(value, str) and name not in self._body:
            value = {"true": True, "1": True, "false": False, "0": False}.get(value)
            if value is None:
                raise Refused(422, "invalid_field", f"{name}: must be true or false")
        if value is not None and not isinstance(value, bool):
            raise Refused(422, "invalid_field", f"{name}: must be true or false")
        return bool(value)

    def moment(self, name: str) -> int | None:
        """Return a time in Unix milliseconds, given as such or as ISO 8601 (of UTC, when it names no zone)."""
        value = self._value(name)
        if value is None:
            return None
        moment = moment_ms(value)
        if moment is None:
            raise Refused(422, "invalid_field", f"{name}: must be ISO 8601, as 2026-11-30T12:00:00Z, or milliseconds")
        return moment

    def _value(self, name: str) -> Any:
        return self._body[name] if name in self._body else self._query.get(name)


def moment_ms(value: object) -> int | None:
    """Return the Unix milliseconds that a text or a number stands for; None: it is no time."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) > 8:
        value = int(value[:16])
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
            value = int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_MS:
        return None
    return value


def iso(time_ms: object) -> str | None:
    """Return Unix milliseconds as ISO 8601; None: they are none."""
    if not isinstance(time_ms, int) or isinstance(time_ms, bool) or not 0 < time_ms <= _LATEST_MS:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
