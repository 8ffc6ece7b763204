"""The contract of webhook targets: one attempt, one outcome."""

from collections.abc import Callable
from dataclasses import field
from typing import Protocol, runtime_checkable

from sockudo_py.endpoints import ClientCertificate, LambdaTarget, OAuth2
from sockudo_py.protocol.values import value

# No answer came: every policy retries these.
NETWORK = frozenset(
    {
        "dns",
        "connect",
        "tls",
        "timeout_connect",
        "timeout_read",
        "reset",
        "protocol",
        "blocked_address",
        "lambda_throttle",
        "auth",
        "internal",
    }
)
# A retry can't help.
FINAL = frozenset({"too_large", "poison", "endpoint_deleted", "endpoint_disabled", "expired"})
# The endpoint answered in time, so it is not overloaded: its in-flight allowance stays.
ANSWERED = frozenset({"http_4xx", "redirect"})
ERROR_CLASSES = NETWORK | FINAL | ANSWERED | {"http_5xx", "lambda_error"}


@value
class Request:
    """One attempt, signed: exactly these bytes go out. Headers hold secrets, so they never show in ``repr``."""

    endpoint: str  # uid
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    url: str | None = field(default=None, repr=False)
    function: LambdaTarget | None = None
    timeout: float = 10.0  # seconds for all of it
    connect_timeout: float = 5.0  # seconds for name look-up, TCP and TLS
    trusted: bool = False
    oauth2: OAuth2 | None = None  # a token of there goes along
    client_cert: ClientCertificate | None = None


@value
class Timing:
    """Milliseconds of an attempt. ``ttfb_ms``: until the head of the answer, where the target knows it.

    ``dns_ms``, ``connect_ms`` and ``tls_ms``: looking the name up, and making the connection; None: it was there, or
    there is no such step.
    """

    total_ms: int = 0
    ttfb_ms: int | None = None
    dns_ms: int | None = None
    connect_ms: int | None = None
    tls_ms: int | None = None


@value
class Delivered:
    """The target took it."""

    status: int
    timing: Timing = Timing()
    response_body: bytes = field(default=b"", repr=False)
    response_truncated: bool = False


@value
class Failure:
    """The target did not take it. ``error_class``: one of ERROR_CLASSES; ``message`` holds no secret, no URL query."""

    error_class: str
    message: str
    status: int | None = None
    retry_after: float | None = None  # seconds, as the target asked for
    timing: Timing = Timing()
    response_body: bytes = field(default=b"", repr=False)
    response_truncated: bool = False


Outcome = Delivered | Failure


class Target(Protocol):
    """Carries out attempts.

    ``send`` raises nothing but CancelledError, never retries by itself, and ends within ``request.timeout``.
    """

    name: str  # label of the metrics: "http" | "lambda"

    async def send(self, request: Request) -> Outcome:
        """Make one attempt."""

    async def close(self) -> None:
        """Close connections and threads."""


@runtime_checkable
class Begins(Target, Protocol):
    """A target that can make an attempt without being awaited, where nothing has to be prepared for it."""

    def begin(self, request: Request, done: Callable[[Outcome], None]) -> Callable[[], None] | None:
        """Begin an attempt, if that is possible at once. Returns what breaks it off; None: nothing was done.

        ``done`` is called with what ``send`` would return, later and not from within this call; not after it was broken
        off. A target that does something before or after ``send`` does it here, too, or returns None.
        """


def status_class(status: int) -> str:
    """Return the error class of a status that is no success."""
    if 300 <= status <= 399:
        return "redirect"
    if 400 <= status <= 499:
        return "http_4xx"
    return "http_5xx" if status >= 500 else "protocol"
