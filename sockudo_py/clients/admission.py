"""Who becomes a client, whatever the transport: limits, counters, and a line in the log for each answer."""

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from sockudo_py.apps.base import AppManager
from sockudo_py.clients.node import ClientNode
from sockudo_py.clients.socket_ids import SocketIds
from sockudo_py.hub import Sink
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.limits.notice import LimitNotice
from sockudo_py.logs import shortened
from sockudo_py.metrics import AppCounters, Metrics
from sockudo_py.protocol.app import App
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import Refusal, admit, refusal
from sockudo_py.protocol.session import Session, Settings
from sockudo_py.protocol.source import UNIX
from sockudo_py.tap import Tap

log = logging.getLogger(__name__)

_SHOWN = 200  # characters of a path or a query in a line of the log

S = TypeVar("S", bound=Sink)


class Asked(Protocol):
    """What a client asks for when it connects."""

    path: str
    query: str
    app_key: str | None  # None: the path is none of an app
    protocol: str | None  # the query parameter
    origin: str | None  # the header


class Admission:
    """Admits clients, or says why not.

    Args:
        node: Counts clients in.
        apps: Who may connect.
        metrics: Counts refusals.
        settings: Of the sessions.
        clock: Monotonic seconds, the sessions' clock.
        limiter: For ``limit``.
        limit: How often one address may connect; None is no limit.
        tap: Told who connects and who may not.
    """

    def __init__(
        self,
        *,
        node: ClientNode,
        apps: AppManager,
        metrics: Metrics,
        settings: Settings,
        clock: Callable[[], float],
        limiter: RateLimiter | None,
        limit: RequestLimit | None,
        tap: Tap | None = None,
    ) -> None:
        self._node = node
        self._apps = apps
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._limiter = limiter
        self._limit = limit
        self._tap = Tap() if tap is None else tap
        self._notice = LimitNotice("connections", "rate_limiter.websocket_rate_limit.max_requests")
        self._socket_ids = SocketIds()
        self._refused = metrics.counter("connections_refused_total", "Clients refused at their opening", ("code",))

    def app(self, asked: Asked) -> App | None:
        """Return the app that is asked for, None when there is none."""
        return None if asked.app_key is None else self._apps.by_key(asked.app_key)

    def by_key(self, key: str) -> App | None:
        """Return the app with this key, None when there is none."""
        return self._apps.by_key(key)

    def admit(
        self,
        asked: Asked,
        app: App | None,
        make: Callable[[Session, AppCounters], S],
        secure: bool,
        address: str,
        network: str,
    ) -> S | Refusal:
        """Return a client that the node has counted in, or why there can be none. Either is counted and logged.

        Args:
            asked: What is asked for.
            app: What ``app`` returned for it.
            make: Makes the client; it is forgotten when the node refuses it.
            secure: Whether the client came over TLS.
            address: The client's, empty when it has none.
            network: The address as webhooks see it.
        """
        refused = None if self._limit is None else self._limited(self._limit, address)
        if refused is None:
            if asked.app_key is None:
                refused = refusal(ErrorCode.PATH_NOT_FOUND)
            else:
                strict = self._settings.strict_protocol
                refused = admit(app, asked.app_key, asked.protocol, asked.origin, secure, strict)
        if app is not None:
            counters = self._metrics.app(app.id)
            if refused is None:
                session = Session(app, self._socket_ids.next(), self._settings, self._clock(), network)
                client = make(session, counters)
                refused = self._node.connect(client)
                if refused is None:
                    if log.isEnabledFor(logging.DEBUG):
                        _log_connected(asked, session, address)
                    if self._tap.cold:
                        _tell_connected(self._tap, asked, session, address)
                    return client
            else:
                counters.connection_errors += 1  # the node counts those that it refuses
        refused = refused or refusal(ErrorCode.UNKNOWN_APP)
        self._refused.add(str(refused.code))
        self._tap.refused(
            "connection",
            str(refused.code),
            refused.message,
            app_id="" if app is None else app.id,
            address=address or UNIX,
            more=_shown(asked),
        )
        if log.isEnabledFor(logging.DEBUG):
            told = {"path": shortened(asked.path, _SHOWN), "address": address or UNIX}
            log.debug("client refused", extra={**told, "code": refused.code, "error": refused.message})
        return refused

    def _limited(self, limit: RequestLimit, address: str) -> Refusal | None:
        if self._limiter is None or not address:
            return None
        if self._limiter.take(f"ws:address:{address}", limit.max_requests, limit.window).allowed:
            return None
        self._notice.add(address)
        return Refusal(int(ErrorCode.OVER_CAPACITY), "Over capacity: too many connection attempts from this address")


def _log_connected(asked: Asked, session: Session, address: str) -> None:
    about = {"app_id": session.app.id, "socket_id": session.socket_id}
    log.debug("client connected", extra={**about, "address": address or UNIX, "query": shortened(asked.query, _SHOWN)})


def _tell_connected(tap: Tap, asked: Asked, session: Session, address: str) -> None:
    def details() -> dict[str, object]:
        return {"address": address or UNIX, "query": shortened(asked.query, _SHOWN), "origin": _short(asked.origin)}

    tap.tell("connect", session.app.id, session.socket_id, None, None, details)


def _shown(asked: Asked) -> dict[str, object]:
    return {
        "path": shortened(asked.path, _SHOWN),
        "key": _short(asked.app_key),
        "protocol": _short(asked.protocol),
        "origin": _short(asked.origin),
    }


def _short(text: str | None) -> str | None:
    return None if text is None else shortened(text, _SHOWN)
