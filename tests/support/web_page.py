"""A web site on an origin of its own: a page with pusher-js's browser build, and a backend that signs for it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from tests.support.client import channel_auth, member, user_auth
from tests.support.node import FOLDER, installed_node
from tests.support.server import TestApp

BUILD: Final = FOLDER / "node_modules" / "pusher-js" / "dist" / "web" / "pusher.min.js"
PAGE: Final = b"""<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>A page</title>
<script src="/pusher.js"></script>"""


class _Handler(BaseHTTPRequestHandler):
    app: TestApp
    build: Path

    def do_GET(self) -> None:
        if self.path == "/pusher.js":
            self._answer("text/javascript", self.build.read_bytes())
        else:
            self._answer("text/html", PAGE)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        socket_id, user_id = form["socket_id"][0], self.path.rpartition("/")[2]
        if self.path.startswith("/user-auth/"):
            user = json.dumps({"id": user_id})
            answer = {"auth": user_auth(self.app, socket_id, user), "user_data": user}
        else:
            channel = form["channel_name"][0]
            data = member(user_id) if channel.startswith("presence-") else None
            answer = {"auth": channel_auth(self.app, socket_id, channel, data)}
            if data is not None:
                answer["channel_data"] = data
        self._answer("application/json", json.dumps(answer).encode())

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def web_page(app: TestApp) -> Iterator[str]:
    """Serve the site for the block and yield its origin.

    ``POST /auth/USER`` authorizes a member of presence channels as USER, ``POST /user-auth/USER`` signs USER in.
    """
    installed_node()  # pusher-js comes with the JavaScript clients
    handler = type("Handler", (_Handler,), {"app": app, "build": BUILD})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}"
        finally:
            httpd.shutdown()
            thread.join()
