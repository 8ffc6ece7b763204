"""What a node shows of its clients to operators. Only ``close`` changes anything."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sockudo_py.hub import Hub, Sink
from sockudo_py.node.users import user_channel
from sockudo_py.protocol.effects import Effect
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import refusal

MOST_CHANNELS: Final = 500  # of one connection
MOST_MEMBERS: Final = 500


class ClientsView:
    """Shows the clients of this node.

    Args:
        hub: Has the clients.
        perform: Carries out what a session answers.
        clock: The sessions' clock.
    """

    def __init__(self, hub: Hub, perform: Callable[[Sink, Sequence[Effect]], None], clock: Callable[[], float]) -> None:
        self._hub = hub
        self._perform = perform
        self._clock = clock

    def socket_ids(self, app_id: str, most: int) -> list[str]:
        """Return socket ids of an app, at most ``most``, those that came last first."""
        sockets = self._hub.sockets(app_id)
        return list(islice(reversed(list(sockets)), most))

    def channels_of(self, app_id: str, most: int) -> list[str]:
        """Return channels of the clients that came last, each once, at most ``most``."""
        found: dict[str, None] = {}
        for socket_id in self.socket_ids(app_id, most):
            client = self._hub.sockets(app_id).get(socket_id)
            for channel, _ in () if client is None else client.session.subscriptions():
                found[channel] = None
                if len(found) >= most:
                    return list(found)
        return list(found)

    def client(self, app_id: str, socket_id: str) -> dict[str, Any] | None:
        """Return the facts about a client; None: it is not here. Ages are seconds."""
        client = self._hub.sockets(app_id).get(socket_id)
        if client is None:
            return None
        session, now = client.session, self._clock()
        channels = [
            {"channel": channel, **({} if member is None else {"user_id": member.user_id})}
            for channel, member in islice(session.subscriptions(), MOST_CHANNELS)
        ]
        return {
            "socket_id": socket_id,
            "app_id": app_id,
            "address": session.source.shown,
            "connected_s": round(now - session.opened_at, 1),
            "silent_s": round(now - session.last_seen, 1),
            "user_id": session.user_id,
            "channels": channels,
            "channels_count": len(session.channels),
        }

    def members(self, app_id: str, channel: str) -> Mapping[str, str]:
        """Return the members of a presence channel that are on this node: user_info as JSON text, by user id."""
        found: dict[str, str] = {}
        for client in self._hub.subscribers(app_id, channel):
            member = client.session.channels.get(channel)
            if member is not None:
                found.setdefault(member.user_id, member.user_info)
                if len(found) >= MOST_MEMBERS:
                    break
        return found

    def sockets_of_members(self, app_id: str, channel: str) -> Mapping[str, list[str]]:
        """Return the socket ids of the members of a presence channel that are on this node, by user id."""
        found: dict[str, list[str]] = {}
        for client in islice(self._hub.subscribers(app_id, channel), MOST_MEMBERS):
            member = client.session.channels.get(channel)
            if member is not None:
                found.setdefault(member.user_id, []).append(client.session.socket_id)
        return found

    def subscribers(self, app_id: str, channel: str, most: int) -> list[str]:
        """Return the socket ids of subscribers that are on this node."""
        return [client.session.socket_id for client in islice(self._hub.subscribers(app_id, channel), most)]

    def connections_of(self, app_id: str, user_id: str) -> list[str]:
        """Return the socket ids of a signed-in user on this node."""
        return self.subscribers(app_id, user_channel(user_id), MOST_CHANNELS)

    def close(self, app_id: str, socket_id: str, *, reconnect: bool) -> bool:
        """Close a client with 4009, or with 4200 so that it comes back at once; return whether it is here."""
        client = self._hub.sockets(app_id).get(socket_id)
        if client is None:
            return False
        code = ErrorCode.RECONNECT if reconnect else ErrorCode.UNAUTHORIZED
        self._perform(client, client.session.close(refusal(code)))
        return True
