"""The signed-in users of this node: messages to all connections of a user, who watches whom, terminating."""

from collections.abc import Callable, Sequence
from functools import partial

from sockudo_py.adapters.base import Adapter, SignedIn
from sockudo_py.errors import Unavailable
from sockudo_py.hub import Hub, Sink
from sockudo_py.protocol import codec
from sockudo_py.protocol.effects import Effect, SignIn
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import refusal


def user_channel(user_id: str) -> str:
    """Return the channel of all signed-in connections of a user; signing in puts them on it, not subscribing."""
    return f"#server-to-user-{user_id}"


def _watch_channel(user_id: str) -> str:
    """Return the channel, known to the hub only, for the watchers of a user."""
    return f"#watchers-{user_id}"


class Users:
    """Signs connections in and out. A user's connections and watchers are channels of the hub."""

    def __init__(self, hub: Hub, adapter: Adapter, perform: Callable[[Sink, Sequence[Effect]], None]) -> None:
        """``perform`` carries out what the sessions answer."""
        self._hub = hub
        self._adapter = adapter
        self._perform = perform
        self._signed_in: dict[Sink, SignIn] = {}

    def sign_in(self, client: Sink, request: SignIn) -> None:
        """Count a connection as one of the user's, and report the result to its session."""
        done = partial(self._counted, client, request)
        self._adapter.sign_in(client.session.app.id, request.user_id, request.watchlist, done)

    def sign_out(self, client: Sink) -> None:
        """Undo ``sign_in`` for a connection that is gone; without effect when it never signed in."""
        request = self._signed_in.pop(client, None)
        if request is not None:
            app_id = client.session.app.id
            self._hub.drop(app_id, user_channel(request.user_id), client)
            for watched in request.watchlist:
                self._hub.drop(app_id, _watch_channel(watched), client)
            self._uncount(app_id, request)

    def terminate(self, app_id: str, user_id: str, reconnect: bool) -> None:
        """Close the connections that the user has on this node; with ``reconnect`` they come back at once."""
        reason = refusal(ErrorCode.RECONNECT if reconnect else ErrorCode.UNAUTHORIZED)
        for client in self._hub.subscribers(app_id, user_channel(user_id)):
            self._perform(client, client.session.close(reason))

    def tell_watchers(self, app_id: str, user_id: str, online: bool) -> None:
        """Tell the clients of this node that watch the user."""
        came, went = ([user_id], []) if online else ([], [user_id])
        self._hub.publish(app_id, _watch_channel(user_id), codec.watchlist_events(came, went))

    def _counted(self, client: Sink, request: SignIn, outcome: SignedIn | Unavailable) -> None:
        session, user_id = client.session, request.user_id
        app_id = session.app.id
        if isinstance(outcome, Unavailable):
            self._perform(client, session.sign_in_failed(user_id))
            return
        if outcome.first:
            self.tell_watchers(app_id, user_id, True)
        if not self._hub.has(app_id, client):  # it didn't wait for the answer
            self._uncount(app_id, request)
            return
        self._signed_in[client] = request
        self._hub.join(app_id, user_channel(user_id), client)
        for watched in request.watchlist:
            self._hub.join(app_id, _watch_channel(watched), client)
        self._perform(client, session.signed_in(user_id, outcome.online if request.watchlist else None))

    def _uncount(self, app_id: str, request: SignIn) -> None:
        self._adapter.sign_out(
            app_id, request.user_id, request.watchlist, partial(self._uncounted, app_id, request.user_id)
        )

    def _uncounted(self, app_id: str, user_id: str, last: bool) -> None:
        if last:
            self.tell_watchers(app_id, user_id, False)
