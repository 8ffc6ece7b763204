"""From a feed to a receiver on this machine: each delivery until the receiver has it, and in order."""

import http.client
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from sockudo_py.cli.live.server import Refusal, Silent
from sockudo_py.cli.shown import number, plain
from sockudo_py.errors import SockudoError

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0  # seconds between two tries to reach the server
_WHEN_UNSAID = 5.0  # seconds before a delivery is tried again, where the webhook has no retries
_TOO_MANY, _SERVER_ERROR, _CONFLICT = 429, 500, 409
_ANSWER_BYTES = 65536  # of the receiver's answer that are read, so that its connection can be used again

Say = Callable[[str], None]


class ReadsFeed(Protocol):
    """The webhook whose feed is read; see ``feed.FeedWebhook``."""

    name: str
    app: str

    def open(self) -> Mapping[str, Any]:
        """Find or make it."""

    def read(self, after: str | None) -> Mapping[str, Any]:
        """Acknowledge, and return what follows."""


class Posts(Protocol):
    """The receiver; see ``Receiver``."""

    url: str

    def post(self, headers: Sequence[Sequence[str]], body: bytes, timeout: float) -> int:
        """Post one request."""


class Receiver:
    """Posts requests to one URL, over a connection that is kept."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "localhost", parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection: http.client.HTTPConnection | None = None

    def post(self, headers: Sequence[Sequence[str]], body: bytes, timeout: float) -> int:
        """Post one request; return the status. Raises OSError when there is no answer within ``timeout`` seconds."""
        kept = self._connection is not None
        try:
            return self._post(headers, body, timeout)
        except (ConnectionError, http.client.HTTPException) as problem:
            self.close()
            if not kept:
                raise OSError(str(problem) or type(problem).__name__) from problem
        except OSError:
            self.close()
            raise
        # The receiver has closed the kept connection: send on a new one.
        try:
            return self._post(headers, body, timeout)
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            raise OSError(str(problem) or type(problem).__name__) from problem

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, headers: Sequence[Sequence[str]], body: bytes, timeout: float) -> int:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect(timeout)
        connection.putrequest("POST", self._target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1"))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        response.read(_ANSWER_BYTES)
        if response.will_close or not response.isclosed():
            self.close()
        return response.status

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)


class Forwarder:
    """Reads a feed for ever, and posts its requests.

    Args:
        feed: Is read.
        receiver: Gets the requests.
        say: Gets the lines for a person.
        sleep: Waits a number of seconds.
    """

    def __init__(self, feed: ReadsFeed, receiver: Posts, say: Say, sleep: Callable[[float], None] = time.sleep) -> None:
        self._feed = feed
        self._receiver = receiver
        self._say = say
        self._sleep = sleep
        self.count = 0  # deliveries that the receiver has taken

    def run(self) -> None:
        """Forward until something ends it: an exception, as that of Ctrl-C or of an answer that no waiting mends."""
        self._begin(self._insist(self._feed.open))
        cursor: str | None = None
        failures = 0
        while True:
            after = cursor
            page = self._insist(lambda: self._feed.read(after))  # noqa: B023  (called at once)
            cursor = page["start"]
            timeout = page["request_timeout_ms"] / 1000
            for item in page["items"]:
                problem = self._deliver(item, timeout)
                if problem is None:
                    cursor = item["cursor"]
                    failures = 0
                    continue
                failures += 1
                waits = page["retries_s"] or [_WHEN_UNSAID]
                wait = waits[min(failures, len(waits)) - 1]
                self._say(f"{_now()} {problem}; it is sent again in {wait:g} s (failure {failures})")
                self._sleep(wait)
                break  # the next read signs it again

    def _begin(self, webhook: Mapping[str, Any]) -> None:
        types = ", ".join(webhook["event_types"]) or "no events"
        self._say(
            f"{_now()} webhook {webhook['uid']} ({plain(self._feed.name)}) of app {plain(self._feed.app)}: "
            f"{plain(types)}, signed as {webhook['profile']}, forwarded to {self._receiver.url}"
        )
        if webhook.get("secret"):
            self._say(f"its signing secret, which is shown this once: {webhook['secret']}")

    def _deliver(self, item: Mapping[str, Any], timeout: float) -> str | None:
        """Post a delivery. Returns None when the receiver has it, else what went wrong."""
        what = f"{plain(', '.join(item['event_types']))} ({number(item['events'], 'event')}, {item['delivery_id']})"
        for request in item["requests"]:
            started = time.monotonic()
            try:
                status = self._receiver.post(request["headers"], request["body"].encode(), timeout)
            except OSError as problem:
                return f"--- {what}: the receiver gives no answer: {problem}"
            if not 200 <= status <= 299:
                return f"{status} {what}: the receiver does not take it"
            self._say(f"{_now()} {status} {what} {(time.monotonic() - started) * 1000:.0f} ms")
        self.count += 1
        return None

    def _insist(self, ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Ask the server until it answers. Raises SockudoError for an answer that no waiting mends."""
        wait, said = FIRST_WAIT, ""
        while True:
            try:
                answer = ask()
            except Silent as problem:
                reason = str(problem)
            except Refusal as problem:
                if problem.code == "feed_taken":
                    raise SockudoError("another reader has begun to read this feed, so this one ends") from problem
                lasting = problem.status < _SERVER_ERROR and problem.status not in (_TOO_MANY, _CONFLICT)
                if lasting or problem.code == "not_a_feed":
                    raise
                reason = str(problem)
            else:
                if said:
                    self._say(f"{_now()} the server answers again")
                return answer
            if reason != said:
                self._say(f"{_now()} {plain(reason)}; trying again")
                said = reason
            self._sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)


def _now() -> str:
    return time.strftime("%H:%M:%S")
