"""The inspector: finds the channel, user, socket, app, webhook or delivery that a pasted text names."""

import json
import re
from collections.abc import Iterable
from typing import Any, Final, Protocol

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.caches.base import CachedEvent
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.node.view import ClientsView
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels import classify
from sockudo_py.tap import Tap
from sockudo_py.webhooks.stats import describe_endpoint

MOST_FOUND: Final = 50
MOST_SHOWN: Final = 500  # subscribers or members of one channel
_SOCKET_ID: Final = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")


class InspectedNode(Protocol):
    """What the inspector asks of the node (``node.Node`` is one). The async methods raise ``Unavailable``."""

    @property
    def view(self) -> ClientsView:
        """The clients of this node."""

    async def channel(self, app: App, name: str) -> ChannelStats | None:
        """Return the figures of a channel in the cluster, or None when it is not occupied."""

    async def channels(self, app: App, prefix: str) -> dict[str, ChannelStats]:
        """Return the occupied channels of the cluster whose names begin with ``prefix``."""

    async def members(self, app: App, name: str) -> list[str]:
        """Return the user ids of a presence channel."""

    async def cached(self, app: App, name: str) -> CachedEvent | None:
        """Return what a cache channel remembers."""


class Inspector:
    """Finds what a person pasted into the box.

    Args:
        node: Channels and clients.
        tap: Its recorder has the last rows of connections.
    """

    def __init__(self, node: InspectedNode, tap: Tap) -> None:
        self._node = node
        self._tap = tap

    async def find(self, text: str, apps: Iterable[App], endpoints: Iterable[Endpoint]) -> list[dict[str, Any]]:
        """Return everything that ``text`` may mean in these apps, what is likeliest first. Raises ``Unavailable``."""
        visible = list(apps)
        found: list[dict[str, Any]] = []
        for endpoint in endpoints:
            if text in (endpoint.uid, endpoint.name) or (text.isdigit() and text == str(endpoint.id)):
                found.append({"type": "webhook", **describe_endpoint(endpoint), "webhook_id": endpoint.uid})
        for app in visible:
            if len(found) >= MOST_FOUND:
                break
            if text == app.id or any(text == pair.key for pair in app.keys):
                found.append({"type": "app", "app_id": app.id, "key": app.keys[0].key, "enabled": app.enabled})
            found += [one for one in (self.socket(app, text), await self.channel(app, text)) if one is not None]
            found += [one for one in (self.user(app, text),) if one is not None]
        if not found and text.startswith(("dl_", "job_")):
            found.append({"type": "delivery", "delivery_id": text})
        return found[:MOST_FOUND]

    def socket(self, app: App, socket_id: str) -> dict[str, Any] | None:
        """Return the facts about a connection, and record it from now on; None: it is no socket of the app."""
        if not _SOCKET_ID.fullmatch(socket_id):
            return None
        client = self._node.view.client(app.id, socket_id)
        flight = self._tap.recorder.flight(socket_id)
        refusals = [one for one in self._tap.recorder.refusals(app.id) if one.socket_id == socket_id]
        if client is None and not refusals:
            return None
        if client is not None:
            self._tap.recorder.watch(socket_id)
        shown = client or {"socket_id": socket_id, "app_id": app.id, "gone": True}
        return {"type": "socket", **shown, "recorded": flight}

    async def channel(self, app: App, name: str) -> dict[str, Any] | None:
        """Return the facts about a channel; None: it is not occupied, and remembers nothing."""
        stats = await self._node.channel(app, name)
        cached = await self._cached(app, name)
        if stats is None and cached is None:
            return None
        kind = classify(name)
        shown: dict[str, Any] = {
            "type": "channel",
            "app_id": app.id,
            "channel": name,
            "occupied": stats is not None,
            "subscription_count": 0 if stats is None else stats.subscription_count,
            "private": kind.private,
            "presence": kind.presence,
            "subscribers_here": self._node.view.subscribers(app.id, name, MOST_SHOWN),
        }
        if kind.presence:
            ids = await self._node.members(app, name)
            known = self._node.view.members(app.id, name)
            sockets = self._node.view.sockets_of_members(app.id, name)
            shown["user_count"] = len(ids)
            shown["members"] = [
                {
                    "user_id": one,
                    "user_info": _json(known.get(one)),
                    "sockets": sockets.get(one, []),
                    "signed_in": bool(self._node.view.connections_of(app.id, one)),
                }
                for one in ids[:MOST_SHOWN]
            ]
        if cached is not None:
            shown["cached"] = cached
        return shown

    async def _cached(self, app: App, name: str) -> str | None:
        if not classify(name).cached:
            return None
        try:
            found = await self._node.cached(app, name)
        except Unavailable:
            return None
        return None if found is None else found.payload.decode("utf-8", "replace")[:4096]

    def user(self, app: App, user_id: str) -> dict[str, Any] | None:
        """Return the connections of a signed-in user on this node; None: there are none."""
        sockets = self._node.view.connections_of(app.id, user_id)
        if not sockets:
            return None
        return {"type": "user", "app_id": app.id, "user_id": user_id, "sockets": sockets[:MOST_SHOWN]}


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
