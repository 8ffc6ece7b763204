"""A webhook endpoint as it is written in the configuration or sent to the management API."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from sockudo_py.config.sections.types import (
    HIDDEN_PATH,
    EnvelopeName,
    Factor,
    HttpUrl,
    Milliseconds,
    Name,
    Pattern,
    Positive,
    PositiveMilliseconds,
    PresetName,
    ProfileName,
    RetryOn,
    Secret,
    Section,
    Share,
    Text,
    Time,
)

FUNCTION_NAME = r"^[a-zA-Z0-9:_-]{1,170}$"
REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$"
EVENT_TYPE = r"^(\*|[A-Za-z0-9][A-Za-z0-9_.:-]{0,199})$"
PUSHER_EVENTS = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
    "connection_established",
    "connection_terminated",
)
SOCKUDO_EVENTS = (
    "member_updated",
    "ai_run_started",
    "ai_run_ended",
    "ai_turn_started",
    "ai_turn_ended",
    "ai_cancel_requested",
    "ai_stream_orphaned",
    "message_version_created",
    "annotation_created",
    "annotation_deleted",
)


def _endpoint_uid(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"wh_[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("must be wh_ and up to 64 letters, digits, '_' or '-'")
    return value


EventType = Annotated[str, Field(pattern=EVENT_TYPE)]


class LambdaConfig(Section):
    """An AWS Lambda function to invoke instead of a URL."""

    function_name: str = Field(pattern=FUNCTION_NAME, description="Name or ARN of the function.")
    region: str = Field(default="us-east-1", pattern=REGION, description="AWS region.")
    invocation_type: Literal["Event", "RequestResponse"] = Field(
        default="Event",
        description="`Event`: AWS takes it and answers at once; `RequestResponse`: wait for the function.",
    )
    qualifier: Name | None = Field(default=None, description="Version or alias of the function.")
    payload_format: Literal["apigw", "pusher"] = Field(
        default="apigw", description="`apigw`: `{headers, body, ...}` with the signature; `pusher`: the bare body."
    )


class FeedConfig(Section):
    """A feed, which the receiver reads, instead of a URL."""

    retention_s: Annotated[Positive, Field(le=31_536_000)] = Field(
        default=604_800, description="Seconds that an event waits to be read; then it is a dead letter."
    )
    max_events: Positive = Field(
        default=100_000, description="Events that wait at most; of more the oldest become dead letters."
    )


class FilterConfig(Section):
    """Which channels an endpoint wants. All given conditions must hold."""

    channel_type: Literal["public", "private", "presence", "encrypted", "private-encrypted", "cache"] | None = Field(
        default=None, description="Class of the channel."
    )
    channel_prefix: Name | None = Field(default=None, description="The channel's name begins with it.")
    channel_suffix: Name | None = Field(default=None, description="The channel's name ends with it.")
    channel_pattern: Pattern | None = Field(default=None, description="Regular expression found in the channel's name.")
    channel_namespace: Name | None = Field(
        default=None,
        description="The name, without its class prefix, is this, or begins with this and one of `. - _ = @ , ;`.",
    )
    channel_namespaces: tuple[Name, ...] | None = Field(
        default=None, description="The same with several: one of them is enough."
    )


class RetryOverrides(Section):
    """When a failed delivery is tried again. null: as the preset says."""

    preset: PresetName | None = Field(default=None, description="See [retry presets](#retry-presets).")
    enabled: bool | None = Field(default=None, description="false: one attempt, then the dead letters.")
    max_retries: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Retries after the first try."
    )
    max_attempts: Annotated[int, Field(ge=1, le=101)] | None = Field(
        default=None, description="Sockudo's name: `max_retries` and one."
    )
    initial_backoff_ms: PositiveMilliseconds | None = Field(
        default=None, description="Milliseconds before the first retry."
    )
    multiplier: Factor | None = Field(default=None, description="How much longer each wait is than the one before.")
    max_backoff_ms: PositiveMilliseconds | None = Field(default=None, description="Longest wait in milliseconds.")
    schedule_ms: Annotated[tuple[Milliseconds, ...], Field(max_length=100)] | None = Field(
        default=None, description="Milliseconds before each retry; replaces all of the above."
    )
    jitter: Share | None = Field(
        default=None, description="Up to this share is added to each wait; never less than the wait."
    )
    retry_on: RetryOn | None = Field(
        default=None, description="`non_2xx`; `5xx` (and network errors); `transient` (5xx, 408, 409, 425, 429)."
    )
    honor_retry_after: bool | None = Field(default=None, description="A `Retry-After` may lengthen a wait.")
    retry_after_max_ms: Milliseconds | None = Field(
        default=None, description="Longest wait that `Retry-After` can ask for."
    )
    max_age_ms: Milliseconds | None = Field(default=None, description="Age at which a delivery is given up; 0: never.")

    @model_validator(mode="after")
    def _one_count(self) -> Self:
        if self.max_retries is not None and self.max_attempts is not None:
            raise ValueError("has both max_retries and max_attempts; keep max_retries")
        return self


class EndpointBatching(Section):
    """How the events of this endpoint gather. null: as `webhooks.batching` says."""

    enabled: bool | None = Field(default=None, description="false: one event per request.")
    duration: Milliseconds | None = Field(default=None, description="Milliseconds events gather before they are sent.")
    size: Positive | None = Field(default=None, description="Events in one request.")


class EndpointRateLimit(Section):
    """Requests this endpoint takes. More wait; none are dropped. null: no limit, or the profile's."""

    per_second: Positive | None = Field(default=None, description="Requests a second.")
    per_minute: Positive | None = Field(default=None, description="Requests a minute.")
    per_hour: Positive | None = Field(default=None, description="Requests an hour.")


Credential = Annotated[SecretStr, Field(min_length=1, max_length=4096)]


class AuthConfig(Section):
    """How requests prove to the receiver's gateway who sends them, besides the signature."""

    type: Literal["basic", "bearer", "oauth2"] = Field(
        description="`basic`: user and password; `bearer`: a token; `oauth2`: a token by client credentials."
    )
    username: Name | None = Field(default=None, description="`basic`: the user.")
    password: Credential | None = Field(
        default=None, description="`basic`: the password. In files `password_env` names a variable instead."
    )
    token: Credential | None = Field(
        default=None, description="`bearer`: the token. In files `token_env` names a variable instead."
    )
    token_url: Annotated[HttpUrl | None, HIDDEN_PATH] = Field(
        default=None, description="`oauth2`: where tokens are asked for. Addresses are checked as the endpoint's are."
    )
    client_id: Name | None = Field(default=None, description="`oauth2`: the client.")
    client_secret: Credential | None = Field(
        default=None, description="`oauth2`: its secret. In files `client_secret_env` names a variable instead."
    )
    scope: Name | None = Field(default=None, description="`oauth2`: the scope to ask for.")
    audience: Name | None = Field(default=None, description="`oauth2`: the audience to ask for.")
    client_auth: Literal["basic", "body"] | None = Field(
        default=None, description="`oauth2`: where client and secret stand in the question; null: `basic`."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "basic": ("username", "password"),
            "bearer": ("token",),
            "oauth2": ("token_url", "client_id", "client_secret"),
        }
        allowed = {*needed[self.type], "type", *(("scope", "audience", "client_auth") if self.type == "oauth2" else ())}
        for name in needed[self.type]:
            if getattr(self, name) is None:
                raise ValueError(f"needs {name} with the type {self.type}")
        for name in type(self).model_fields:
            if name not in allowed and getattr(self, name) is not None:
                raise ValueError(f"has {name}, which does not belong to the type {self.type}; remove it")
        if self.username is not None and ":" in self.username:
            raise ValueError("has a username with a colon; Basic authentication can't carry it")
        return self


class EndpointFields(Section):
    """What a webhook endpoint has, whether a file or the management API says it. One of its targets is given:
    `url`, `lambda` or `feed`."""

    name: str = Field(default="", max_length=200, description="Name, for people.")
    description: str = Field(default="", max_length=2000, description="Description, for people.")
    enabled: bool = Field(default=True, description="false: nothing is sent.")
    url: Annotated[HttpUrl | None, HIDDEN_PATH] = Field(default=None, description="Where events are posted to.")
    function: LambdaConfig | None = Field(
        default=None, alias="lambda", description="The AWS Lambda function to invoke."
    )
    feed: FeedConfig | None = Field(
        default=None, description="Events wait here until the receiver reads them; `{}` takes the defaults."
    )
    event_types: Annotated[tuple[EventType, ...], Field(max_length=200)] = Field(
        default=(), description="Events to send; `*` is all but `connection_*`; an empty list is none. Also: `events`."
    )
    filter: FilterConfig = Field(default=FilterConfig(), description="Which channels.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Headers to send along.")
    auth: AuthConfig | None = Field(default=None, description="Authentication besides the signature.")
    profile: ProfileName | None = Field(
        default=None, description="Signature and envelope; null: `webhooks.signature.profile`."
    )
    also_sign: tuple[ProfileName, ...] = Field(default=(), description="Profiles whose headers are sent too.")
    envelope: EnvelopeName | None = Field(default=None, description="Shape of the body; null: the profile's.")
    signature_header: Name | None = Field(default=None, description="Profile `custom`: the header of the signature.")
    signature_template: Name = Field(
        default="{body}", description="... what is signed, with `{id}`, `{timestamp}`, `{body}`."
    )
    signature_encoding: Literal["hex", "base64"] = Field(default="hex", description="... how the signature is written.")
    signature_prefix: str = Field(default="", max_length=64, description="... what stands in front of it.")
    timestamp_header: Name | None = Field(default=None, description="... header of the timestamp.")
    id_header: Name | None = Field(default=None, description="... header of the id.")
    json_style: Literal["compact", "python"] | None = Field(
        default=None, description="How the body is written; null: `webhooks.signature.json_style`."
    )
    payload: Literal["seed", "pusher"] | None = Field(default=None, description="null: `webhooks.payload`.")
    retry: RetryOverrides = Field(default_factory=RetryOverrides, description="When to try again.")
    request_timeout_ms: PositiveMilliseconds | None = Field(default=None, description="null: the preset's.")
    connect_timeout_ms: PositiveMilliseconds | None = Field(
        default=None, description="null: `webhooks.connect_timeout_ms`."
    )
    batching: EndpointBatching = Field(default=EndpointBatching(), description="How events gather.")
    rate_limit: EndpointRateLimit = Field(default=EndpointRateLimit(), description="Requests that the receiver takes.")
    max_in_flight: Positive | None = Field(default=None, description="Requests at a time; null: `webhooks.delivery`'s.")
    ordering: Literal["none", "endpoint", "channel"] | None = Field(
        default=None, description="null: `webhooks.delivery`'s."
    )
    auto_resync: bool = Field(
        default=False,
        description="true: it gets a [resync](webhooks/resync.md#automatic) after it was disabled, or its dead letters "
        "purged.",
    )

    @model_validator(mode="after")
    def _custom_is_complete(self) -> Self:
        if self.profile == "custom" and self.signature_header is None:
            raise ValueError("needs signature_header with the profile custom")
        return self


class EndpointConfig(EndpointFields):
    """A webhook endpoint. Exactly one of `url`, `lambda` and `feed` is given."""

    id: Positive | None = Field(default=None, description="Number in `/v1/webhooks`; null: made from `uid`.")
    uid: Annotated[Name, BeforeValidator(_endpoint_uid)] | None = Field(
        default=None,
        description="Identity: `wh_` and up to 64 letters, digits, `_`, `-`; null: made from app id, place in the "
        "list, and target.",
    )
    secret: Secret | None = Field(
        default=None,
        description="Signing secret of profiles that are not Pusher's. `secret_env` names a variable instead.",
    )
    previous_secret: Secret | None = Field(
        default=None,
        description="The secret before `secret`: signs besides it, so that receivers can change over. "
        "`previous_secret_env` names a variable instead.",
    )
    previous_secret_expires_at: Time | None = Field(
        default=None,
        description='Until when the previous secret signs, such as "2026-12-31T12:00:00Z"; null: until it is removed.',
    )
    client_cert_path: Text | None = Field(
        default=None, description="PEM file of a client certificate for the receiver (mTLS), perhaps with its key."
    )
    client_key_path: Text | None = Field(
        default=None, description="PEM file of its private key; null: in the same file."
    )
    trusted: bool = Field(default=True, description="Private addresses are allowed (in files: you wrote it).")

    @model_validator(mode="after")
    def _rotation_is_complete(self) -> Self:
        if self.client_key_path is not None and self.client_cert_path is None:
            raise ValueError("has client_key_path but no client_cert_path; name the certificate")
        if self.previous_secret is not None and self.secret is None:
            raise ValueError("has previous_secret but no secret; name the current one secret")
        if self.previous_secret_expires_at is not None and self.previous_secret is None:
            raise ValueError("has previous_secret_expires_at but no previous_secret; remove it")
        return self
