"""Sections about the server itself: listening, TLS, limits, logging, metrics."""

from typing import Literal

from pydantic import Field

from sockudo_py.config.sections.app import Origin
from sockudo_py.config.sections.types import (
    CompressionMode,
    Count,
    Kilobytes,
    Limit,
    Name,
    OctalMode,
    PathPrefix,
    Percent,
    Port,
    Positive,
    PositiveSeconds,
    Secret,
    Section,
    Text,
)


class WebSocketConfig(Section):
    """WebSocket connections."""

    max_bytes: Positive = Field(
        default=1048576,
        description="Bytes that may wait for a client that reads too slowly; past it the client is closed with 4100.",
    )
    compression: CompressionMode = Field(
        default="disabled",
        description="`shared`: compress with clients that offer permessage-deflate, without a context from one message "
        "to the next, so that a broadcast is compressed once for all of them. Sockudo's other modes mean `shared` too, "
        "as does true. `disabled` or false: never.",
    )


class HttpTransportConfig(Section):
    """pusher-js's `xhr_streaming` and `xhr_polling`, for clients behind proxies that break WebSockets."""

    enabled: bool = Field(default=True, description="Serve clients that connect by these transports.")
    path: PathPrefix = Field(
        default="/pusher",
        description="Path in front of `/app/KEY`, after `path_prefix`; both together are the client's `httpPath`.",
    )
    session_timeout: PositiveSeconds = Field(
        default=15.0,
        description="Seconds that a client stays connected without a request to receive; then it has gone away.",
    )
    poll_timeout: PositiveSeconds = Field(
        default=25.0,
        description="Seconds after which a poll is answered with a heartbeat. Proxies in between must bear longer "
        "silence.",
    )


class HttpApiConfig(Section):
    """The HTTP API."""

    request_limit_in_mb: Positive = Field(default=10, description="Largest request body; larger ones get 413.")
    usage_enabled: bool | None = Field(
        default=None,
        description="Who gets `GET /usage`. null: requests from this machine without a proxy's headers, and admin "
        "keys; true: everybody; false: nobody.",
    )
    header_timeout: PositiveSeconds = Field(
        default=10.0, description="Seconds a client has to send the head of a request."
    )
    body_timeout: PositiveSeconds = Field(
        default=30.0, description="Seconds a client has to send the body of a request."
    )
    write_timeout: PositiveSeconds = Field(
        default=75.0,
        description="Seconds a client has to read an answer that could not be sent at once, on the metrics port too; "
        "then the connection is dropped.",
    )
    keep_alive_timeout: PositiveSeconds = Field(
        default=75.0, description="Seconds an idle HTTP connection is kept open, to the metrics port too."
    )


class SslConfig(Section):
    """TLS on the main port."""

    enabled: bool = Field(
        default=False,
        description="Serve wss:// and https:// instead of ws:// and http://. When it is left out, a certificate "
        "switches it on.",
    )
    cert_path: str = Field(default="", description="PEM file with the certificate chain.")
    key_path: str = Field(default="", description="PEM file with the private key.")
    passphrase: Secret | None = Field(default=None, description="Passphrase of the private key.")


class UnixSocketConfig(Section):
    """A Unix socket to listen on besides the port, for a proxy on the same machine."""

    enabled: bool = Field(default=False, description="Listen on the socket too.")
    path: Text = Field(
        default="/var/run/sockudo/sockudo.sock", description="Path of the socket; a stale one is replaced."
    )
    permission_mode: OctalMode = Field(default="660", description="Octal file mode of the socket, in quotes.")

    @property
    def mode(self) -> int:
        """The file mode as a number."""
        return int(self.permission_mode, 8)


class CorsConfig(Section):
    """Cross-origin rules of the HTTP API."""

    credentials: bool = Field(default=True, description="Allow credentials (never together with the origin `*`).")
    origin: tuple[Origin, ...] = Field(
        default=("*",), description="Allowed origins, written as an app's `allowed_origins`; `*` allows any."
    )
    methods: tuple[Name, ...] = Field(default=("GET", "POST", "OPTIONS"), description="Allowed methods.")
    allowed_headers: tuple[Name, ...] = Field(
        default=("Authorization", "Content-Type", "X-Requested-With", "Accept", "X-Idempotency-Key"),
        description="Allowed request headers.",
    )


class PrometheusConfig(Section):
    """How metrics are named."""

    prefix: str = Field(
        default="sockudo_", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$|^$", description="Prefix of every metric name."
    )


class MetricsConfig(Section):
    """The metrics port."""

    enabled: bool = Field(default=True, description="Serve `GET /metrics` on a port of its own.")
    driver: Literal["prometheus"] = Field(default="prometheus", description="Format of the metrics.")
    host: Text | None = Field(default=None, description="Address to listen on; null: `host`.")
    port: Port = Field(default=9601, description="Port to listen on; 0 takes a free one.")
    prometheus: PrometheusConfig = Field(default=PrometheusConfig(), description="Prometheus names.")


class LoggingConfig(Section):
    """The log. It goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None, description="Least level that is written; null: `debug` with `debug: true`, else `info`."
    )
    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`auto`: human on a terminal, JSON otherwise."
    )
    colors_enabled: bool = Field(default=True, description="Colours in the human format on a terminal.")
    include_target: bool = Field(default=True, description="Show which part of the server wrote a line.")


class WatermarksConfig(Section):
    """When no more clients are taken for a while. Those that are here stay."""

    memory_high: Percent | None = Field(
        default=None,
        description="Percent of the memory (of the control group's limit, else of the machine) from which on new "
        "clients get 4100 and `/ready` says 503; null: never.",
    )
    memory_low: Percent | None = Field(
        default=None, description="Percent below which clients are taken again; null: nine tenths of `memory_high`."
    )
    connections_high: Limit = Field(
        default=None, description="The same for the number of clients of this node; null, 0, -1: never."
    )
    connections_low: Limit = Field(default=None, description="null, 0, -1: nine tenths of `connections_high`.")


class ChannelLimits(Section):
    """Limits of channels; apps may set their own."""

    max_name_length: Positive = Field(default=200, description="Characters of a channel name.")
    cache_ttl: PositiveSeconds = Field(default=1800.0, description="Seconds a cache channel remembers its last event.")


class EventLimits(Section):
    """Limits of events; apps may set their own."""

    max_channels_at_once: Positive = Field(default=100, description="Channels of one published event.")
    max_name_length: Positive = Field(default=200, description="Characters of an event name.")
    max_payload_in_kb: Kilobytes = Field(default=10.0, description="Kilobytes of one event's data (Pusher: 10).")
    max_batch_size: Positive = Field(default=10, description="Events of one batch request.")


class PresenceConfig(Section):
    """Limits of presence channels; apps may set their own."""

    max_members_per_channel: Positive = Field(default=100, description="Users of one presence channel.")
    max_member_size_in_kb: Kilobytes = Field(default=1.0, description="Kilobytes of one member's user_info.")
    max_user_id_length: Positive = Field(default=128, description="Characters of a user id.")


class RateLimit(Section):
    """Requests per window."""

    max_requests: Limit = Field(default=None, description="Requests of one address per window; null, 0, -1: no limit.")
    window_seconds: PositiveSeconds = Field(default=60.0, description="Length of the window in seconds.")


class ApiRateLimit(RateLimit):
    """Requests per window."""

    max_requests: Limit = Field(
        default=None,
        description="Requests of one address per window, those of your own backends included; null, 0, -1: no limit.",
    )
    trust_hops: Count = Field(
        default=0,
        description="How many proxies in front append to `X-Forwarded-For`, where `trusted_proxies` can't name them; "
        "0: `trusted_proxies` decides. Holds for the log as well.",
    )


class WebSocketRateLimit(RateLimit):
    """Connection attempts per window."""

    max_requests: Limit = Field(
        default=6000, description="Connection attempts of one address per window; 0, -1: no limit."
    )
    trust_hops: Count | None = Field(default=None, description="The same for WebSockets; null: `api_rate_limit`'s.")
