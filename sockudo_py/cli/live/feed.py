"""A feed of a running server, as ``listen`` asks for it by the management API."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sockudo_py.cli.live.server import LiveServer, Refusal
from sockudo_py.errors import SockudoError

POLL = 20  # seconds that the server keeps a request without an answer
AT_ONCE = 20  # deliveries of one answer
_PAGE = 200
_NOT_FOUND = 404


class FeedWebhook:
    """The webhook of one name that is a feed, made where it is missing.

    Args:
        server: Is asked.
        app: Id of the app.
        name: Of the webhook.
        events: Its event types; None: as they are, of a new one all.
        profile: Its signature; None: as it is, of a new one Pusher's.
    """

    def __init__(
        self, server: LiveServer, app: str, name: str, events: Sequence[str] | None, profile: str | None
    ) -> None:
        self._server = server
        self.app = app
        self.name = name
        self._events = events
        self._profile = profile
        self._uid = ""

    def open(self) -> Mapping[str, Any]:
        """Find the webhook, or make it, and change what the options say otherwise. Returns it, as the API shows it."""
        wanted: dict[str, Any] = {}
        if self._events is not None:
            wanted["event_types"] = list(self._events)
        if self._profile is not None:
            wanted["profile"] = self._profile
        found = self._find()
        if found is None:
            body = {"event_types": ["*"], "profile": "pusher", **wanted, "app_id": self.app, "name": self.name}
            found = self._server.ask("POST", "/api/webhooks", None, {**body, "feed": {}})
        elif "feed" not in found:
            raise SockudoError(
                f"app {self.app} has a webhook named {self.name} that is no feed ({found['uid']}); give another --name"
            )
        elif any(found[key] != value for key, value in wanted.items()):
            found = self._server.ask("PATCH", f"/api/webhooks/{found['uid']}", None, wanted)
        self._uid = str(found["uid"])
        return found

    def delete(self) -> str | None:
        """Delete the webhook. Returns its uid; None: there is none."""
        found = self._find()
        if found is None or "feed" not in found:
            return None
        self._server.ask("DELETE", f"/api/webhooks/{found['uid']}")
        return str(found["uid"])

    def read(self, after: str | None, timeout: int = POLL) -> Mapping[str, Any]:
        """Acknowledge up to ``after``, and return what follows, or after ``timeout`` seconds nothing."""
        query = {"after": after, "limit": AT_ONCE, "timeout": timeout or None}
        return self._server.ask("GET", f"/api/webhooks/{quote(self._uid, safe='')}/feed", query)

    def _find(self) -> dict[str, Any] | None:
        cursor = None
        while True:
            query = {"app_id": self.app, "limit": _PAGE, "cursor": cursor}
            try:
                page = self._server.ask("GET", "/api/webhooks", query)
            except Refusal as problem:
                if problem.status == _NOT_FOUND:
                    raise SockudoError(f"{problem} ({self.app}), or the key is not for it") from problem
                raise
            named = [one for one in page["webhooks"] if one["name"] == self.name]
            if named:
                return dict(next((one for one in named if "feed" in one), named[0]))
            cursor = page["next_cursor"]
            if cursor is None:
                return None
