"""The log: readable lines on a terminal, JSON otherwise; known secrets never appear in either.

A record may carry ``app_id``, ``socket_id``, ``request_id`` or other fields in ``extra``. Text from outside (of clients
or receivers) belongs into a field, or through ``quoted``: it can then neither break lines nor colour a terminal.
"""

import json
import logging
import os
import re
import sys
from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
HIDDEN = "***"
SHORTEST_SECRET = 6  # shorter ones would blot out ordinary words
FEW_SECRETS = 64
MAX_TEXT = 8192

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FIRST_FIELDS = ("app_id", "socket_id", "request_id")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
# Secrets that their place gives away: URLs with passwords, authorisation headers, signed queries.
_TELLTALE = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]{0,15}://[^\s/@:]*:)[^\s/@]+(?=@)"
    r"|(?P<header>\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic)\s+)[^\s\"',}]+"
    r"|(?P<query>\b(?:auth_signature|secret|password|passphrase|access_token|api_key)=)[^\s&\"']+",
    re.IGNORECASE,
)


tracing = False  # whether level debug is on: paths where asking a logger costs too much look here, as logs.tracing


class Secrets:
    """The secrets this process knows, to be kept out of the log."""

    __slots__ = ("_by_head", "_known", "_pattern")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        # A pattern is fastest where there are few. With some thousand, making it takes seconds, at each new app.
        self._pattern: re.Pattern[str] | None = None  # of all of them; None: to be made
        self._by_head: dict[str, list[str]] = {}  # by the first characters, longest first
        self.add(values)

    def __repr__(self) -> str:
        return f"<Secrets: {len(self._known)}>"

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def add(self, values: Iterable[str]) -> None:
        """Hide these too, from now on. Values shorter than 6 characters are not hidden."""
        for value in values:
            if len(value) >= SHORTEST_SECRET and value not in self._known:
                self._known.add(value)
                self._pattern = None
                insort(self._by_head.setdefault(value[:SHORTEST_SECRET], []), value, key=lambda known: -len(known))

    def scrub(self, text: str) -> str:
        """Return ``text`` with ``***`` for every known secret and for text in the place of one."""
        if len(self._known) > FEW_SECRETS:
            text = self._without_known(text)
        elif self._known:
            if self._pattern is None:
                self._pattern = re.compile("|".join(map(re.escape, sorted(self._known, key=len, reverse=True))))
            text = self._pattern.sub(HIDDEN, text)
        return _TELLTALE.sub(lambda match: f"{match[match.lastgroup or 0]}{HIDDEN}", text)

    def _without_known(self, text: str) -> str:
        by_head, parts, start, place = self._by_head, [], 0, 0
        last = len(text) - SHORTEST_SECRET
        while place <= last:
            for secret in by_head.get(text[place : place + SHORTEST_SECRET], ()):
                if text.startswith(secret, place):
                    parts += [text[start:place], HIDDEN]
                    start = place + len(secret)
                    place = start - 1
                    break
            place += 1
        return "".join((*parts, text[start:])) if parts else text


def quoted(text: str | bytes, limit: int = 512) -> str:
    """Return text from outside as one JSON string of at most ``limit`` characters of it, to stand in a sentence."""
    return json.dumps(shortened(text, limit))


def shortened(text: str | bytes, limit: int = 512) -> str:
    """Return at most ``limit`` characters of text from outside, for a field of a line: its formatter escapes it."""
    if isinstance(text, bytes):
        text = text[: limit * 4 + 1].decode("utf-8", "replace")
    return text if len(text) <= limit else text[:limit] + "..."


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, then the fields."""

    def __init__(self, secrets: Secrets, *, target: bool = True) -> None:
        super().__init__()
        self.secrets = secrets
        self._target = target

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {"time": _time(record), "level": record.levelname.lower()}
        if self._target:
            line["logger"] = record.name
        line["message"] = self.secrets.scrub(_message(record))
        for name, value in _fields(record):
            line[name] = _plain(value, self.secrets)
        if record.exc_info:
            line["exception"] = self.secrets.scrub(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class HumanFormatter(logging.Formatter):
    """``2026-01-31 12:00:00.123 INFO  node: message  app_id=1``, coloured by level on a terminal."""

    def __init__(self, secrets: Secrets, *, target: bool = True, colours: bool = False) -> None:
        super().__init__()
        self.secrets = secrets
        self._target = target
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception follows, each of its lines indented."""
        name = f"{record.name.removeprefix('sockudo_py.')}: " if self._target else ""
        message = _one_line(self.secrets.scrub(_message(record)))
        line = f"{_time(record).replace('T', ' ').rstrip('Z')} {record.levelname:<7} {name}{message}"
        for field, value in _fields(record):
            plain = _plain(value, self.secrets)
            shown = plain if isinstance(plain, str) and re.fullmatch(r"[\w.:/@+-]+", plain, re.ASCII) else None
            line += f" {field}={shown or json.dumps(plain, ensure_ascii=True)}"
        if self._colours and record.levelno in _COLOURS:
            line = f"\x1b[{_COLOURS[record.levelno]}m{line}\x1b[0m"
        if record.exc_info:
            trace = self.secrets.scrub(self.formatException(record.exc_info))
            line += "".join(f"\n    {_one_line(part)}" for part in trace.split("\n"))
        return line


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["auto", "human", "json"] = "auto",
    colours: bool = True,
    target: bool = True,
    secrets: Secrets | None = None,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send the log to ``stream`` (standard error) and return the handler, which replaces one made before.

    It goes on to hide what that one was told to.

    Args:
        level: Least level that is written, for this server's own loggers; libraries start at ``warning``.
        style: ``auto`` is ``human`` on a terminal, ``json`` otherwise.
        colours: Colours in the human style, on a terminal, unless ``NO_COLOR`` is set (no-color.org).
        target: Name the logger in each line.
        secrets: What must not appear.
        stream: Where to write.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    known = secrets if secrets is not None else Secrets()
    handler = logging.StreamHandler(stream)
    handler.set_name("sockudo_py")
    if style == "human" or (style == "auto" and terminal):
        handler.setFormatter(HumanFormatter(known, target=target, colours=colours and takes_colours(stream)))
    else:
        handler.setFormatter(JsonFormatter(known, target=target))
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "sockudo_py"]:
        if isinstance(old.formatter, JsonFormatter | HumanFormatter):
            known.add(old.formatter.secrets)
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(LEVELS[level], logging.WARNING))
    logging.getLogger("sockudo_py").setLevel(LEVELS[level])
    global tracing  # noqa: PLW0603 - one log a process
    tracing = level == "debug"
    logging.captureWarnings(True)
    return handler


def takes_colours(stream: TextIO, env: Mapping[str, str] = os.environ) -> bool:
    """Return whether to colour what goes to a stream: a terminal that knows colours, and no ``NO_COLOR``."""
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def hide(values: Iterable[str]) -> None:
    """Keep these out of the log too: secrets that became known after ``configure``, such as those of a new app."""
    fresh = list(values)
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter | HumanFormatter):
            handler.formatter.secrets.add(fresh)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03}Z"


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."


def _fields(record: logging.LogRecord) -> list[tuple[str, object]]:
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    first = [(name, given.pop(name)) for name in _FIRST_FIELDS if name in given]
    return [*first, *given.items()]


def _plain(value: object, secrets: Secrets) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = secrets.scrub(value if isinstance(value, str) else str(value))
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."


def _one_line(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}" if ord(match[0]) < 256 else "\\n", text)
