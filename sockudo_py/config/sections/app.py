"""An app in the configuration."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from sockudo_py.config.sections.endpoint import EVENT_TYPE, EndpointConfig
from sockudo_py.config.sections.types import Count, Digits, Kilobytes, Limit, Positive, PositiveSeconds, Secret, Section
from sockudo_py.config.sections.web_origins import web_origin

AppId = Annotated[str, Digits, Field(min_length=1, max_length=128, pattern=r"^[^/?#\s]+$")]
Key = Annotated[str, Digits, Field(min_length=1, max_length=128, pattern=r"^[^/?#:\s]+$")]
PLACEHOLDER_SECRET = "change-me-in-production"  # noqa: S105 - of the examples; warned about
PUBLISHED_SECRETS = frozenset(("app-secret", "demo-secret", PLACEHOLDER_SECRET))  # of demos, ours and other servers'

OwnEventType = Annotated[str, Field(pattern=EVENT_TYPE.replace(r"\*|", ""))]
Origin = Annotated[str, AfterValidator(web_origin)]


def _everybody_if_empty(origins: tuple[str, ...]) -> tuple[str, ...]:
    return origins or ("*",)


class KeyPair(Section):
    """A key and its secret."""

    key: Key = Field(description="The key.")
    secret: Secret = Field(description="The secret. `secret_env` names a variable instead.")


class EventTypeConfig(Section):
    """A type of the app's own events, which its backend triggers."""

    name: OwnEventType = Field(description="Name, such as `order.paid`.")
    description: str = Field(default="", max_length=500, description="What it means, for the catalogue.")
    data_schema: dict[str, Any] | None = Field(
        default=None,
        alias="schema",
        description="JSON Schema (2020-12, or what `$schema` says) that `data` must fit; null: any data.",
    )
    example: Any = Field(default=None, description="An example of `data`, for the catalogue and for tests.")


class AppConfig(Section):
    """An app. Limits that are null are the server's."""

    id: AppId = Field(description="Id, as in `/apps/ID/events`.")
    key: Key = Field(description="Key, as in `/app/KEY`.")
    secret: Secret = Field(description="Secret. `secret_env` names an environment variable instead.")
    keys: tuple[KeyPair, ...] = Field(default=(), description="Further pairs that are valid too; `key` signs webhooks.")
    enabled: bool = Field(default=True, description="false: connections are refused with 4003.")
    max_connections: Limit = Field(default=None, description="Connections per node; null, 0, -1: no limit.")
    enable_client_messages: bool = Field(default=False, description="Clients may send `client-` events.")
    enable_encrypted_client_messages: bool = Field(default=True, description="... on encrypted channels too.")
    max_client_events_per_second: Limit = Field(
        default=10, description="Client events of a connection; 0, -1: any number."
    )
    max_backend_events_per_second: Limit = Field(default=None, description="Events published over HTTP.")
    max_read_requests_per_second: Limit = Field(default=None, description="Reading HTTP requests.")
    enable_user_authentication: bool = Field(default=True, description="`pusher:signin` is answered.")
    enable_authorized_connections: bool = Field(
        default=False,
        description="A connection that neither signs in nor joins a private channel within "
        "`user_authentication_timeout` is closed with 4009.",
    )
    enable_watchlist_events: bool = Field(default=False, description="Watchlist events.")
    max_watchlist_size: Count = Field(default=100, description="Users on a watchlist.")
    enable_subscription_count: bool = Field(default=False, description="`pusher_internal:subscription_count` events.")
    require_tls: bool = Field(default=False, description="Connections without TLS are refused with 4000.")
    allowed_origins: Annotated[tuple[Origin, ...], AfterValidator(_everybody_if_empty)] = Field(
        default=("*",),
        description="Origins that may connect: `https://example.com`, `example.com` (any scheme and port), "
        "`*.example.com`, `null` (files, sandboxed frames); `*` or an empty list allows any and none.",
    )
    max_subscriptions_per_connection: Limit = Field(
        default=10_000,  # letting go of 200 000 at once was measured to stop the server for 4 s
        description="Channels of one connection; 0, -1: any number.",
    )
    max_subscribes_per_second: Limit = Field(
        default=200,
        description="Subscriptions that a connection may ask for in the long run; sign-ins and refused messages count "
        "too. Past `subscribe_burst` the server pauses reading the connection, without an error; 0, -1: any number.",
    )
    subscribe_burst: Limit = Field(
        default=500, description="Subscriptions (and the like) of a connection at once; 0, -1: any number."
    )
    max_presence_members_per_channel: Positive | None = Field(default=None, description="Else `presence`'s.")
    max_presence_member_size_in_kb: Kilobytes | None = Field(default=None, description="Else `presence`'s.")
    max_channel_name_length: Positive | None = Field(default=None, description="Else `channel_limits`'.")
    max_event_channels_at_once: Positive | None = Field(default=None, description="Else `event_limits`'.")
    max_event_name_length: Positive | None = Field(default=None, description="Else `event_limits`'.")
    max_event_payload_in_kb: Kilobytes | None = Field(default=None, description="Else `event_limits`'.")
    max_event_batch_size: Positive | None = Field(default=None, description="Else `event_limits`'.")
    cache_ttl: PositiveSeconds | None = Field(default=None, description="Else `channel_limits`'.")
    event_types: Annotated[tuple[EventTypeConfig, ...], Field(max_length=500)] = Field(
        default=(), description="Types of [events of its own](webhooks/custom-events.md#registered-types)."
    )
    webhooks: Annotated[tuple[EndpointConfig, ...], Field(max_length=200)] = Field(
        default=(), description="Webhook endpoints; see [an endpoint](#a-webhook-endpoint)."
    )
