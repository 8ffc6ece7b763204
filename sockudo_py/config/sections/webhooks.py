"""The section `webhooks`: defaults of every endpoint, and settings of delivery as a whole."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sockudo_py.config.sections.endpoint import EndpointConfig, RetryOverrides
from sockudo_py.config.sections.types import (
    Cidr,
    Count,
    Limit,
    Milliseconds,
    Name,
    Port,
    Positive,
    PositiveMilliseconds,
    PresetName,
    ProfileName,
    ProxyUrl,
    Section,
    Sha256,
    Share,
    Text,
)


class BatchingConfig(Section):
    """How events gather into one request."""

    enabled: bool = Field(default=True, description="false: one event per request.")
    duration: Milliseconds = Field(default=50, description="Milliseconds events gather before they are sent.")
    size: Positive = Field(default=100, description="Events in one request.")
    max_bytes: Positive = Field(default=262144, description="Bytes of events in one request.")
    durable: bool = Field(
        default=True,
        description="Gathered events are in the queue already. The server always does so; false is refused.",
    )

    @model_validator(mode="after")
    def _always_durable(self) -> Self:
        if not self.durable:
            raise ValueError("durable can't be false: events are appended to the queue at once; remove it")
        return self


class RetryConfig(RetryOverrides):
    """When a failed delivery is tried again. null: as the preset says."""

    preset: PresetName = Field(default="sockudo", description="See [retry presets](#retry-presets).")
    enabled: bool = Field(default=True, description="false: one attempt, then the dead letters.")
    jitter: Share = Field(default=0.0, description="Up to this share is added to each wait; never less than the wait.")
    honor_retry_after: bool = Field(default=True, description="A `Retry-After` may lengthen a wait.")
    retry_after_max_ms: Milliseconds = Field(
        default=3600000, description="Longest wait that `Retry-After` can ask for."
    )


class DeliveryConfig(Section):
    """How deliveries share the workers, and how long attempts are remembered."""

    max_in_flight_per_endpoint: Positive = Field(default=8, description="Requests to one endpoint at a time.")
    slow_start: bool = Field(default=True, description="An endpoint earns its requests at a time by answering.")
    probation_share: Share = Field(default=0.5, description="Share of the workers for endpoints that don't answer.")
    ordering: Literal["none", "endpoint", "channel"] = Field(
        default="none",
        description="`endpoint`: one request at a time, in order, a retry first; `channel` keeps the order of each "
        "channel, and is served the same way; `none`: in parallel.",
    )
    global_rate: Positive | None = Field(
        default=None, description="Deliveries of the process per window; null: any number."
    )
    global_rate_window_ms: PositiveMilliseconds = Field(default=60000, description="The window of `global_rate`.")
    response_body_bytes: Count = Field(default=4096, le=65536, description="Bytes of an answer that are read and kept.")
    history: Count = Field(
        default=1000, description="Attempts that are kept of each endpoint; 0: no history, and no statistics."
    )
    history_ttl_s: Positive = Field(default=604800, description="Seconds for which attempts are kept.")
    history_max_bytes: Positive = Field(
        default=67108864, description="Bytes of payloads that are kept of each app; the oldest go first."
    )


class SignatureConfig(Section):
    """How requests are signed."""

    profile: ProfileName = Field(
        default="pusher", description="Signature and envelope; see [profiles](#signature-profiles)."
    )
    json_style: Literal["compact", "python"] = Field(
        default="compact", description="`python`: with spaces, as `json.dumps`."
    )
    rotation_grace_s: Count = Field(default=86400, description="Seconds an old secret still signs after a rotation.")


class CircuitBreakerConfig(Section):
    """A pause for endpoints that keep failing: their events wait, and no retry is used up meanwhile."""

    enabled: bool = Field(default=False, description="Pause failing endpoints.")
    consecutive_failures: Positive = Field(
        default=10, description="Failures in a row after which the endpoint is paused."
    )
    open_ms: PositiveMilliseconds = Field(default=30000, description="First pause; each further one is twice as long.")
    max_open_ms: PositiveMilliseconds = Field(default=600000, description="Longest pause.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.open_ms > self.max_open_ms:
            raise ValueError("open_ms must not be more than max_open_ms")
        return self


class AutoDisableConfig(Section):
    """Switching off endpoints that are gone. Their jobs are kept until a restart or a change of the app."""

    enabled: bool = Field(default=False, description="Disable an endpoint that has only failed for `failing_for_s`.")
    failing_for_s: Positive = Field(default=432000, description="Seconds without a success.")
    on_410: bool = Field(
        default=False, description="Disable an endpoint that answers 410 Gone (always so with the preset `standard`)."
    )


class SecurityConfig(Section):
    """Where requests may go. No endpoint may reach link-local addresses or the metadata services of clouds."""

    require_https: bool = Field(default=False, description="Refuse http:// endpoints.")
    allow_private_networks: bool = Field(
        default=False, description="Endpoints made by the API may have private addresses."
    )
    allowed_cidrs: tuple[Cidr, ...] = Field(default=(), description="Private networks that such endpoints may reach.")
    allowed_functions: tuple[Text, ...] = Field(
        default=(),
        description="AWS Lambda functions that endpoints made by the API may invoke: `NAME` (in every region), "
        "`REGION:NAME` or an ARN, as the endpoint writes it, with `:QUALIFIER` where the endpoint gives one.",
    )
    denied_cidrs: tuple[Cidr, ...] = Field(default=(), description="Networks that no endpoint may reach.")
    allowed_ports: tuple[Annotated[Port, Field(ge=1)], ...] | None = Field(default=None, description="null: any port.")
    max_payload_bytes: Positive = Field(
        default=1048576,
        description="Largest request body; a larger batch is sent in parts, a larger event is a dead letter.",
    )
    max_custom_headers: Count = Field(default=32, description="Custom headers of one endpoint.")
    max_header_value_bytes: Positive = Field(default=4096, le=4096, description="Bytes of one custom header's value.")
    egress_proxy: ProxyUrl | None = Field(
        default=None,
        description="`http://[user:password@]host:port` of a proxy for all requests. It resolves names then and has "
        "to refuse private addresses; the server still checks addresses and metadata services in URLs.",
    )
    ca_bundle: Text | None = Field(
        default=None, description="PEM file of certificate authorities to trust besides the system's."
    )


class AdminKey(Section):
    """A key of the management API."""

    name: Name | None = Field(
        default=None, description="Name of the key in the audit log; null: its place in the list."
    )
    sha256: Sha256 = Field(description="SHA-256 of the key: `printf %s KEY | sha256sum`.")
    apps: tuple[Name, ...] = Field(
        default=("*",), min_length=1, description="Ids of the apps that the key is for; `*`: all."
    )
    scopes: tuple[Literal["read", "write"], ...] = Field(
        default=("read", "write"), min_length=1, description="What the key allows."
    )


class AdminRateLimit(Section):
    """How much each key of the management API may ask."""

    per_minute: Limit = Field(default=600, description="Requests a minute; 0, -1: any number.")


class AdminConfig(Section):
    """The management API."""

    enabled: bool = Field(default=True, description="Serve it on the port. Without keys it refuses everybody.")
    api_keys: tuple[AdminKey, ...] = Field(default=(), description="Who may use it.")
    key_file: Text | None = Field(
        default=None,
        description="File (mode 0600) with one more key, for everything. The start makes it when it is missing, and "
        "shows the key this once; `make run` names `data/admin-key`.",
    )
    rate_limit: AdminRateLimit = Field(default=AdminRateLimit(), description="How much each key may ask.")
    frame_ancestors: tuple[Annotated[Text, Field(pattern=r"^(https?://[^\s;,'\"]+|'self')$")], ...] = Field(
        default=(),
        description="Origins such as `https://example.com` whose pages may show the dashboard in a frame.",
    )
    socket: Text | None = Field(
        default=None,
        description="Unix socket (mode 0600) on which `sockudo-py webhooks` asks the running server. null: "
        "`queue.sqlite.path` with `.sock` after it, and with other queue drivers none.",
    )


class DeadLetterConfig(Section):
    """The dead letters."""

    max_len: Count = Field(default=0, description="Dead letters kept, the oldest go first; 0: all.")
    warn_len: Count = Field(default=100, description="Length at which a warning is logged; 0: never.")


class SpoolConfig(Section):
    """Where events wait while the queue can't be reached."""

    max_events: Positive = Field(default=100000, description="Events that the spool holds.")
    max_bytes: Positive = Field(
        default=67108864, description="Bytes that the spool holds; an event counts as its text and 280."
    )
    path: Text | None = Field(
        default=None,
        description="At shutdown the server writes events that the queue has not taken to `PATH.<random id>`; a start "
        "reads each such file that no living process uses. null: `PATH` is `queue.sqlite.path` with `.spool` after "
        "it, and with other queue drivers these events are lost.",
    )


class WebhooksConfig(Section):
    """Delivery of webhooks."""

    enabled: bool = Field(default=True, description="false: no webhook is sent.")
    batching: BatchingConfig = Field(default=BatchingConfig(), description="How events gather.")
    request_timeout_ms: PositiveMilliseconds | None = Field(
        default=None, description="Milliseconds for a whole request; null: the preset's (10000 with `sockudo`)."
    )
    connect_timeout_ms: PositiveMilliseconds = Field(default=5000, description="Milliseconds to connect.")
    retry: RetryConfig = Field(default=RetryConfig(), description="When to try again.")
    delivery: DeliveryConfig = Field(default=DeliveryConfig(), description="Shares and memory.")
    signature: SignatureConfig = Field(default=SignatureConfig(), description="Signatures.")
    circuit_breaker: CircuitBreakerConfig = Field(default=CircuitBreakerConfig(), description="Pauses.")
    auto_disable: AutoDisableConfig = Field(default=AutoDisableConfig(), description="Switching off.")
    vacate_delay_ms: Milliseconds = Field(
        default=3000, description="Milliseconds `channel_vacated` and `member_removed` wait for a return; 0: at once."
    )
    reconnect_grace_ms: Milliseconds = Field(
        default=20000,
        description="Milliseconds that clients get to come back after a crash of the server, before `channel_vacated` "
        "and `member_removed` are sent for those that did not come back; `vacate_delay_ms`, if that is longer.",
    )
    payload: Literal["seed", "pusher"] = Field(
        default="seed", description="`pusher` omits the per-event `time_ms` and the extras of member events."
    )
    operators: Annotated[tuple[EndpointConfig, ...], Field(max_length=20)] = Field(
        default=(),
        description="Endpoints for events about [trouble with webhooks](webhooks/operation.md#webhooks-for-operators). "
        "Each is as [an endpoint](#a-webhook-endpoint), with the profile `standard` and all events as defaults.",
    )
    security: SecurityConfig = Field(default=SecurityConfig(), description="Where requests may go.")
    admin: AdminConfig = Field(default=AdminConfig(), description="The management API.")
    dlq: DeadLetterConfig = Field(default=DeadLetterConfig(), description="Dead letters.")
    spool: SpoolConfig = Field(default=SpoolConfig(), description="While the queue is away.")
