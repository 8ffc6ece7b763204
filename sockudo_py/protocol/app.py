"""An application: the keys it signs with and the limits it lives under."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AppKey:
    """One key/secret pair of an app. The secret never shows in ``repr``."""

    key: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class App:
    """One tenant, with every limit resolved (server defaults merged in). None means no limit.

    Compared by identity: a reload that changes anything makes a new App.
    """

    id: str
    keys: tuple[AppKey, ...]  # oldest first; the first one signs webhooks
    enabled: bool = True
    require_tls: bool = False
    allowed_origins: tuple[str, ...] = ("*",)  # "*" anywhere in it: any origin, also none
    max_connections: int | None = None
    client_events: bool = False
    client_events_per_second: int | None = 10  # per connection
    client_events_on_encrypted: bool = True
    user_authentication: bool = True  # pusher:signin allowed
    authorization_timeout: float | None = None  # seconds; None: connections need not authorise
    subscription_count: bool = False
    watchlist: bool = False
    max_watchlist: int = 100
    max_presence_members: int = 100
    max_user_info_bytes: int = 1024
    max_user_id_length: int = 128
    max_channel_name_length: int = 200
    max_event_name_length: int = 200
    max_event_bytes: int = 10240  # data of one event, client or server
    max_channels_per_event: int = 100
    max_batch_size: int = 10
    max_subscriptions: int | None = 10_000  # channels of one connection
    subscribes_per_second: int | None = 200  # of one connection, in the long run ...
    subscribe_burst: int | None = 500  # ... and how many it may ask for at once
    backend_events_per_second: int | None = None
    read_requests_per_second: int | None = None
    cache_ttl: float = 1800.0  # seconds a cache channel remembers its last event

    def secret_of(self, key: str) -> bytes | None:
        """Return the secret that belongs to ``key``, or None when the app has no such key."""
        for pair in self.keys:
            if pair.key == key:
                return pair.secret
        return None
