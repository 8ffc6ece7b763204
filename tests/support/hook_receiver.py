"""A webhook receiver in a thread: it answers as told and remembers every request as it came.

Each path is a mailbox of its own, so that one receiver serves the endpoints of many apps.
"""

import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

DEADLINE = 60.0
BACKLOG = 4096  # beyond it the kernel drops connections, and they are tried again a second later


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook request."""

    path: str
    headers: tuple[tuple[str, str], ...]  # as on the wire: order, case and repetitions kept
    body: bytes
    at: float  # monotonic seconds

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of the body."""
        return list(self.json["events"])

    def header(self, name: str) -> str:
        """Return the value of a header that must be there exactly once."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) == 1, f"{name}: {values}"
        return values[0]


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = BACKLOG


class HookReceiver:
    """Listens on 127.0.0.1 while its ``with`` block runs; port 0 takes a free one, ``tls`` makes it speak HTTPS."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._changed = threading.Condition()
        self._hooks: dict[str, list[Hook]] = defaultdict(list)
        self._answers: dict[str, list[int | float]] = defaultdict(list)
        self._delays: dict[str, float] = {}
        self._work: dict[str, Callable[[Hook], None]] = {}
        self._said: dict[str, tuple[bytes, dict[str, str]]] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook = Hook(self.path, tuple(self.headers.items()), body, time.monotonic())
                answer = receiver._take(hook)
                receiver._stopping.wait(receiver._delays.get(hook.path, 0))
                if work := receiver._work.get(hook.path):
                    work(hook)
                if isinstance(answer, float):  # hang for so long, or until the receiver closes
                    receiver._stopping.wait(answer)
                    self.close_connection = True
                    return
                self.send_response(answer)
                if answer in (301, 302, 307):
                    self.send_header("Location", f"{receiver.url}/redirected")
                said, headers = receiver._said.get(hook.path, (b"", {}))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._stopping = threading.Event()
        self._server = _Listening(("127.0.0.1", port), Handler)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:  # the handshake comes with the first read, in the thread of the connection
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def _take(self, hook: Hook) -> int | float:
        with self._changed:
            self._hooks[hook.path].append(hook)
            self._changed.notify_all()
            script = self._answers[hook.path]
            return script.pop(0) if script else 200

    def answer(self, path: str, *script: int | float) -> None:
        """Answer the next requests to ``path`` so: an int is a status, a float is seconds of silence; then 200."""
        with self._changed:
            self._answers[path] = list(script)

    def delay(self, path: str, seconds: float) -> None:
        """Answer all requests to ``path`` so much later."""
        self._delays[path] = seconds

    def work(self, path: str, work: Callable[[Hook], None]) -> None:
        """Do this with each request to ``path`` before it is answered, in a thread of its own."""
        self._work[path] = work

    def say(self, path: str, body: bytes, **headers: str) -> None:
        """Answer all requests to ``path`` with this body and these headers."""
        self._said[path] = (body, headers)

    def hooks(self, path: str) -> list[Hook]:
        """Return the requests that came to ``path`` so far."""
        with self._changed:
            return list(self._hooks[path])

    def events(self, path: str) -> list[dict[str, Any]]:
        """Return all events that came to ``path`` so far, in order."""
        return [event for hook in self.hooks(path) for event in hook.events]

    def wait_until(
        self, path: str, enough: Callable[[list[Hook]], bool], what: str, deadline: float = DEADLINE
    ) -> list[Hook]:
        """Return the requests to ``path`` once ``enough`` says so. Some may be copies: delivery is at least once."""
        with self._changed:
            came = self._changed.wait_for(lambda: enough(self._hooks[path]), deadline)
            assert came, f"{what} did not come within {deadline} s: {[hook.body for hook in self._hooks[path]]}"
            return list(self._hooks[path])

    def wait_for(self, path: str, count: int, deadline: float = DEADLINE) -> list[Hook]:
        """Return the requests to ``path`` once there are ``count`` of them; fails after ``deadline`` seconds."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._hooks[path]) >= count, deadline)
            bodies = [hook.body for hook in self._hooks[path]]
            assert came, f"{len(bodies)} of {count} requests within {deadline} s: {bodies}"
            return list(self._hooks[path])
