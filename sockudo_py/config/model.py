"""The whole configuration."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr

from sockudo_py.config.problems import OPTION, Origins, Problem
from sockudo_py.config.sections.drivers import (
    AdapterConfig,
    AppManagerConfig,
    CacheConfig,
    DatabaseConfig,
    QueueConfig,
    RateLimiterConfig,
)
from sockudo_py.config.sections.server import (
    ChannelLimits,
    CorsConfig,
    EventLimits,
    HttpApiConfig,
    HttpTransportConfig,
    LoggingConfig,
    MetricsConfig,
    PresenceConfig,
    SslConfig,
    UnixSocketConfig,
    WatermarksConfig,
    WebSocketConfig,
)
from sockudo_py.config.sections.types import (
    Cidr,
    Limit,
    Name,
    PathPrefix,
    Port,
    Positive,
    PositiveSeconds,
    Seconds,
    Section,
    Text,
    Workers,
)
from sockudo_py.config.sections.webhooks import WebhooksConfig

MODES = ("production", "development")


def _mode(value: str) -> str:
    """Return a mode, a known one in its form. An almost known one is a mistake: it would not do what that one does."""
    word = value.strip().lower()
    word = {"prod": "production", "dev": "development"}.get(word, word)
    close = difflib.get_close_matches(word, MODES, n=1, cutoff=0.75)
    if close and word not in MODES:
        raise ValueError(f"{value} is no mode of this server; did you mean {close[0]}?")
    return word if word in MODES else value


Mode = Annotated[Name, AfterValidator(_mode)]
RedisUser = Literal["adapter", "cache", "queue", "rate_limiter"]


class Config(Section):
    """The configuration of one server."""

    debug: bool = Field(default=False, description="Log at level debug.")
    mode: Mode = Field(default="production", description="`production` warns about demo secrets; else any word.")
    host: Text = Field(default="0.0.0.0", description="Address to listen on.")  # noqa: S104 - as Sockudo's; the demo binds loopback
    port: Port = Field(default=6001, description="Port to listen on; 0 takes a free one.")
    path_prefix: PathPrefix = Field(default="/", description="Path in front of every route, also of `/app/KEY`.")
    server_id: Name | None = Field(
        default=None,
        description="Name of this server among those that share a Redis queue, the same after a restart: by it a "
        "server finds what was occupied when it was killed. With the adapter driver `redis` it is only a name for the "
        "dashboard. null: host name and port.",
    )
    workers: Workers = Field(
        default=1,
        description="Processes on the port, which a supervisor starts and replaces; `auto`: as many as the CPUs that "
        "this server may use. More than 1, and `auto`, need `adapter.driver` `redis` and `queue.driver` "
        "`redis`, or `sqs` with `queue.sqs.store` `redis`.",
    )
    max_connections: Limit = Field(
        default=None, description="Connections of this node, which is each worker; null, 0, -1: no limit."
    )
    drain_delay: Seconds = Field(
        default=0.0, description="Seconds at shutdown from `/up` answering 503 to the closing of the port."
    )
    shutdown_grace_period: Seconds = Field(
        default=4.0,
        description="Seconds over which clients are sent elsewhere at shutdown, where there are other nodes. A lone "
        "node sends them away as fast as it can.",
    )
    trusted_proxies: tuple[Cidr, ...] = Field(
        default=(), description="Proxies whose `X-Forwarded-Proto` and `X-Forwarded-For` the server believes."
    )
    websocket_max_payload_kb: Positive = Field(
        default=64, description="Largest message of a client; a larger one closes with 1009."
    )
    activity_timeout: PositiveSeconds = Field(
        default=120.0,
        description="Seconds of the server's silence after which clients ping it; sent to them when they connect.",
    )
    ping_interval: PositiveSeconds = Field(
        default=45.0,
        description="Seconds of a client's silence after which the server pings it, unless `activity_timeout` is "
        "shorter. Proxies in between must bear longer silence (nginx: `proxy_read_timeout`, 60 by default).",
    )
    pong_timeout: PositiveSeconds = Field(
        default=30.0, description="Seconds that a client has to answer a ping before it is closed with 4201."
    )
    user_authentication_timeout: PositiveSeconds = Field(
        default=30.0, description="Seconds to sign in or authorise, for apps with `enable_authorized_connections`."
    )
    strict_protocol: bool = Field(
        default=False, description="Refuse clients that don't name a protocol version (4008)."
    )
    subscription_error_style: Literal["pusher", "soketi", "both"] = Field(
        default="both",
        description="Message about a refused subscription: `pusher:error`, `pusher:subscription_error`, or both.",
    )
    websocket: WebSocketConfig = Field(default=WebSocketConfig(), description="Connections.")
    http_transport: HttpTransportConfig = Field(
        default=HttpTransportConfig(), description="pusher-js's HTTP transports."
    )
    watermarks: WatermarksConfig = Field(
        default=WatermarksConfig(), description="Values past which the server refuses new clients."
    )
    http_api: HttpApiConfig = Field(default=HttpApiConfig(), description="The HTTP API.")
    ssl: SslConfig = Field(default=SslConfig(), description="TLS.")
    unix_socket: UnixSocketConfig = Field(default=UnixSocketConfig(), description="Unix socket.")
    cors: CorsConfig = Field(default=CorsConfig(), description="Cross-origin rules.")
    channel_limits: ChannelLimits = Field(default=ChannelLimits(), description="Limits of channels.")
    event_limits: EventLimits = Field(default=EventLimits(), description="Limits of events.")
    presence: PresenceConfig = Field(default=PresenceConfig(), description="Limits of presence channels.")
    app_manager: AppManagerConfig = Field(default=AppManagerConfig(), description="Where the apps are.")
    adapter: AdapterConfig = Field(default=AdapterConfig(), description="Nodes of a cluster.")
    cache: CacheConfig = Field(default=CacheConfig(), description="Cache channels.")
    queue: QueueConfig = Field(default=QueueConfig(), description="Webhook jobs.")
    rate_limiter: RateLimiterConfig = Field(default=RateLimiterConfig(), description="Limits per address.")
    database: DatabaseConfig = Field(default=DatabaseConfig(), description="Services.")
    metrics: MetricsConfig = Field(default=MetricsConfig(), description="Metrics.")
    logging: LoggingConfig = Field(default=LoggingConfig(), description="The log.")
    webhooks: WebhooksConfig = Field(default=WebhooksConfig(), description="Webhooks.")

    _source: Path | None = PrivateAttr(default=None)
    _origins: Origins = PrivateAttr(default=Origins("defaults"))
    _warnings: tuple[str, ...] = PrivateAttr(default=())
    _again: Callable[[], "Config"] | None = PrivateAttr(default=None)

    def noted(
        self, source: Path | None, origins: Origins, warnings: tuple[str, ...], again: "Callable[[], Config]"
    ) -> "Config":
        """Return this configuration with the origins of its values, its warnings, and a way to read it again."""
        copy = self.model_copy()
        copy._again = again
        copy._source = source
        copy._origins = origins
        copy._warnings = warnings
        return copy

    def again(self) -> "Config":
        """Return what the same file and the same environment say now. Raises ConfigError."""
        return self if self._again is None else self._again()

    @property
    def source(self) -> Path | None:
        """The file it was read from; None for the demo."""
        return self._source

    @property
    def origin(self) -> str:
        """Where it comes from, for messages: the file, or that there is none."""
        return self._origins.file

    def problem(self, key: str, text: str, remedy: str = "") -> str:
        """Return a line about the value of a key, such as ``host``, that names the file or the variable it is from."""
        return self._origins.line(Problem(tuple(key.split(".")), text, remedy))

    def place_of_webhooks(self, index: int) -> str:
        """Return the file, or the variable, that has the webhooks of the app at a place of the list."""
        variable = self._origins.variable(("app_manager", "array", "apps", index, "webhooks"))
        return self.origin if variable is None else f"environment variable {variable}"

    def variables(self, *keys: str) -> list[str]:
        """Return the environment variables that gave the values of keys, without repeats."""
        found = [self._origins.variable(tuple(key.split("."))) for key in keys]
        return list(dict.fromkeys(name for name in found if name is not None))

    def named(self, *keys: str) -> str:
        """Return what a message about the values of keys says of their variables, such as `` (of ... HOST)``."""
        names = self.variables(*keys)
        if not names:
            return ""
        options = [name for name in names if name.startswith(OPTION)]
        if options:
            return f" (of {' and '.join(options)})"
        plural = "s" if len(names) > 1 else ""
        return f" (of the environment variable{plural} {' and '.join(names)}, perhaps meant for another program)"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the operator; the server starts all the same."""
        return self._warnings

    @property
    def supervised(self) -> bool:
        """Whether the server is a supervisor with workers, and not one process."""
        return self.workers != 1

    @property
    def url_prefix(self) -> str:
        """``path_prefix`` as it stands in front of a route: empty, or ``/prefix`` without a slash at the end."""
        return "" if self.path_prefix == "/" else self.path_prefix

    @property
    def metrics_host(self) -> str:
        """The address to serve metrics on."""
        return self.metrics.host or self.host

    @property
    def sends_webhooks(self) -> bool:
        """Whether webhooks are delivered at all."""
        return self.webhooks.enabled and self.queue.driver != "none"

    def redis_override(self, user: RedisUser) -> SecretStr | None:
        """Return the URL that a driver has for itself."""
        return {
            "adapter": self.adapter.redis.url_override,
            "cache": self.cache.redis.url_override,
            "queue": self.queue.redis.url_override,
            "rate_limiter": self.rate_limiter.redis.url_override,
        }[user]

    def redis_url(self, user: RedisUser) -> str:
        """Return the URL of the one Redis that a driver uses. It may hold a password: never log it."""
        redis = self.database.redis
        url = self.redis_override(user) or redis.url
        if url is not None:
            return url.get_secret_value()
        login = ""
        if redis.username or redis.password:
            password = redis.password.get_secret_value() if redis.password else ""
            login = f"{quote(redis.username or '', safe='')}:{quote(password, safe='')}@"
        host = f"[{redis.host}]" if ":" in redis.host else redis.host
        return f"redis://{login}{host}:{redis.port}/{redis.db}"
