"""Requests and answers of the management routes as values, whatever carries them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sockudo_py.http.description.notation import Param
from sockudo_py.management.credentials.keys import Admin

_NAMED = 20  # fields in an error
_LATEST_MS = 253_402_300_799_000  # the end of the year 9999, which is all that dates in Python know


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of an admin.

    ``app_id``: the path's ``{app}``; None: it has none. ``segments`` are the path's other variables. ``route`` is the
    pattern that the path fits, such as ``/v1/webhooks/{id}``; ``known`` are the fields that the route has. ``body`` is
    a JSON object; empty: there is none. ``raw`` are the bytes of the body as they came. The names in ``headers`` are
    lower case. ``remote`` is the client's address.
    """

    admin: Admin
    segments: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    app_id: str | None = None
    route: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw: bytes = field(default=b"", repr=False)
    remote: str = ""
    known: tuple[Param, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A status as HTTP has them, a JSON object (that of 204 is not sent), and headers besides the usual ones."""

    status: int
    document: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a body, such as ``retry.max_retries``."""

    field: str
    message: str


class Refused(Exception):
    """The request can't be done. ``code`` is for programs, the message for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        fields: Sequence[FieldProblem] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields = tuple(fields)
        self.headers = headers

    def answer(self) -> Answer:
        """Return the answer that says so."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.fields:
            error["fields"] = [{"field": one.field, "message": one.message} for one in self.fields]
        return Answer(self.status, {"error": error}, self.headers)


class Fields:
    """The fields of a request: those of its query, and those of its body, which are read strictly.

    Fields that the route does not list are refused: a misspelt filter must not mean "all".
    """

    def __init__(self, asked: Asked) -> None:
        self._query = asked.query
        self._body = asked.body
        self._known = {one.name: one for one in asked.known}
        known = self._known.keys()
        unknown = sorted({*asked.query, *asked.body} - known)
        if unknown:
            allowed = f"known are: {', '.join(sorted(known))}" if known else "this route has no fields"
            found = [FieldProblem(name[:200], "is not known here") for name in unknown[:_NAMED]]
            names = ", ".join(one.field for one in found)
            raise Refused(422, "unknown_field", f"unknown: {names}; {allowed}", found)

    def text(self, *names: str) -> str | None:
        """Return the value of the first of these fields that is given, a text that is not empty."""
        for name in names:
            value = self._value(name)
            if value is None:
                continue
            if not isinstance(value, str) or not value:
                raise invalid(name, "must be a text that is not empty")
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
            raise invalid(name, "must be a list of texts")
        return value

    def word_or_words(self, name: str) -> list[str] | None:
        """Return a list of texts; a body may give a single text without a list."""
        value = self._value(name)
        return [value] if isinstance(value, str) and value and name in self._body else self.words(name)

    def number(self, name: str) -> int:
        """Return a whole number from 1 to the most that the route says, or its default."""
        value, said = self._value(name), self._known[name]
        default, most = said.default or 0, said.most or 0
        if value is None:
            return default
        if isinstance(value, str) and name not in self._body and value.isascii() and value.isdigit():
            value = int(value[:12])
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise invalid(name, f"must be a whole number from 1 to {most}")
        return value

    def given(self, name: str) -> bool:
        """Return whether the request has this field."""
        return name in self._body or name in self._query

    def flag(self, name: str) -> bool:
        """Return true or false; false when it is not given."""
        value = self._value(name)
        if isinstance(value, str) and name not in self._body:
            value = {"true": True, "1": True, "false": False, "0": False}.get(value)
            if value is None:
                raise invalid(name, "must be true or false")
        if value is not None and not isinstance(value, bool):
            raise invalid(name, "must be true or false")
        return bool(value)

    def moment(self, name: str) -> int | None:
        """Return a time in Unix milliseconds, given as such or as ISO 8601 (of UTC, when it names no zone)."""
        value = self._value(name)
        if value is None:
            return None
        moment = moment_ms(value)
        if moment is None:
            raise invalid(name, "must be ISO 8601, as 2026-11-30T12:00:00Z, or milliseconds")
        return moment

    def _value(self, name: str) -> Any:
        return self._body[name] if name in self._body else self._query.get(name)


def invalid(name: str, message: str) -> Refused:
    """Return the answer for a field that is wrong."""
    return Refused(422, "invalid_field", f"{name}: {message}", [FieldProblem(name, message)])


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
