"""A webhook endpoint: where events go and how. Every default is merged in; nothing here does I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from sockudo_py.protocol.app import AppKey

ProfileName = Literal["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx", "standard", "custom"]
EnvelopeName = Literal["pusher", "pulse", "realcast", "remotedevai", "irisx", "standard"]
RetryOn = Literal["non_2xx", "5xx", "transient"]
AuthType = Literal["basic", "bearer", "oauth2"]
PresetName = Literal["sockudo", "irisx", "pulse", "realcast", "remotedevai", "pusher", "standard", "svix"]


OPERATORS = "#operators"  # stands in place of an app id; no app may be called so


@dataclass(frozen=True, slots=True)
class LambdaTarget:
    """An AWS Lambda function to invoke instead of a URL."""

    function_name: str
    region: str
    invocation_type: Literal["Event", "RequestResponse"] = "Event"
    qualifier: str | None = None
    payload_format: Literal["apigw", "pusher"] = "apigw"


@dataclass(frozen=True, slots=True)
class Feed:
    """Events wait until the receiver reads them: ``retention`` seconds, and at most ``max_events`` of them."""

    retention: float = 604_800.0
    max_events: int = 100_000


@dataclass(frozen=True, slots=True)
class ChannelFilter:
    """Which channels an endpoint wants; all given conditions must hold. ``channel_pattern`` is a regex."""

    channel_type: str | None = None
    channel_prefix: str | None = None
    channel_suffix: str | None = None
    channel_pattern: str | None = None
    channel_namespace: str | None = None
    channel_namespaces: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed delivery is tried again. ``schedule``: seconds before each retry; its length is the limit."""

    schedule: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    retry_on: RetryOn = "non_2xx"
    jitter: float = 0.0  # adds up to this share of the wait, never shortens it
    honor_retry_after: bool = True
    retry_after_max: float = 3600.0
    max_age: float | None = None  # seconds since creation after which a delivery is given up

    @property
    def longest_wait(self) -> float:
        """The seconds that a retry may be put off at most."""
        asked = self.retry_after_max if self.honor_retry_after else 0.0
        return max((*self.schedule, asked)) * (1 + self.jitter) if self.schedule else 0.0


@dataclass(frozen=True, slots=True)
class Batching:
    """How events gather: up to ``size`` events or ``max_bytes`` within ``duration`` seconds make one request."""

    enabled: bool = True
    duration: float = 0.05
    size: int = 100
    max_bytes: int = 262144


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests an endpoint takes per second, minute and hour; None is no limit."""

    per_second: int | None = None
    per_minute: int | None = None
    per_hour: int | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret. None: the current one; else an earlier one that holds until ``expires_at`` (Unix seconds)."""

    value: str = field(repr=False)
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Where requests to an endpoint get their access token: OAuth2's client credentials."""

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None
    client_auth: Literal["basic", "body"] = "basic"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM files by which this server proves to a receiver who it is. ``key_path`` None: the key is in the first one."""

    cert_path: str
    key_path: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One webhook endpoint. Its identity is ``uid``, never the URL. It has one target:
    ``url``, ``function`` or ``feed``.

    ``app_keys`` are the app's own key/secret pairs, oldest first: the Pusher profiles sign with the first one.
    """

    uid: str
    id: int
    app_id: str
    app_keys: tuple[AppKey, ...] = field(repr=False)
    url: str | None = None
    function: LambdaTarget | None = None
    feed: Feed | None = None
    name: str = ""
    description: str = ""
    enabled: bool = True
    event_types: frozenset[str] = frozenset()  # "*" in it: all but connection_*
    filter: ChannelFilter = ChannelFilter()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    profile: ProfileName = "pusher"
    also_sign: tuple[ProfileName, ...] = ()
    envelope: EnvelopeName | None = None  # None: the profile's own
    signature_header: str | None = None  # this and the next five: profile custom
    signature_template: str = "{body}"  # what is signed; {id}, {timestamp} and {body} stand in it
    signature_encoding: Literal["hex", "base64"] = "hex"
    signature_prefix: str = ""
    timestamp_header: str | None = None
    id_header: str | None = None
    json_style: Literal["compact", "python"] = "compact"
    payload: Literal["seed", "pusher"] = "seed"
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    retry: RetryPolicy = RetryPolicy()
    request_timeout: float = 10.0
    connect_timeout: float = 5.0
    batching: Batching = Batching()
    rate_limit: RateLimit = RateLimit()
    max_in_flight: int = 8
    ordering: Literal["none", "endpoint", "channel"] = "none"
    auto_resync: bool = False  # it gets a resync when it may have missed something
    disable_on_410: bool = False  # an answer of 410 Gone disables it
    auth: AuthType | None = None  # basic and bearer are in ``headers``
    oauth2: OAuth2 | None = None
    client_cert: ClientCertificate | None = None
    trusted: bool = True  # from the operator's own files: private addresses allowed
    require_https: bool = False


@dataclass(frozen=True, slots=True)
class Preset:
    """A named retry habit and the seconds a request may take with it."""

    schedule: tuple[float, ...]
    retry_on: RetryOn = "non_2xx"
    request_timeout: float = 10.0
    max_age: float | None = None
    disable_on_410: bool = False

    def policy(self) -> RetryPolicy:
        """Return the retry policy that this preset stands for."""
        return RetryPolicy(schedule=self.schedule, retry_on=self.retry_on, max_age=self.max_age)


_DOUBLING = (1.0, 2.0, 4.0, 8.0, 16.0)
_MINUTE = 60.0
_HOUR = 3600.0

PRESETS: Mapping[PresetName, Preset] = MappingProxyType(
    {
        "sockudo": Preset(_DOUBLING),
        "irisx": Preset(_DOUBLING),
        "pulse": Preset((5.0, 30.0, 2 * _MINUTE, 10 * _MINUTE, _HOUR), request_timeout=30.0),
        "realcast": Preset((1.0, 5.0, 25.0), retry_on="5xx"),
        "remotedevai": Preset(_DOUBLING, request_timeout=30.0),
        "pusher": Preset((*_DOUBLING, 32.0, 60.0, 60.0, 60.0), max_age=300.0),
        "standard": Preset(
            (5.0, 5 * _MINUTE, 30 * _MINUTE, *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24))),
            request_timeout=20.0,
            disable_on_410=True,
        ),
        "svix": Preset(
            (5.0, 5 * _MINUTE, 30 * _MINUTE, *(hours * _HOUR for hours in (2, 5, 10, 10))), request_timeout=30.0
        ),
    }
)


@dataclass(frozen=True, slots=True)
class ProfileDefaults:
    """What an endpoint of a profile has unless its configuration says otherwise."""

    preset: PresetName = "sockudo"
    require_https: bool = False
    rate_limit: RateLimit = RateLimit()


PROFILE_DEFAULTS: Mapping[ProfileName, ProfileDefaults] = MappingProxyType(
    {
        "pusher": ProfileDefaults(),
        "sockudo": ProfileDefaults(),
        "pulse": ProfileDefaults("pulse", require_https=True),
        "realcast": ProfileDefaults("realcast"),
        "remotedevai": ProfileDefaults("remotedevai", require_https=True),
        "irisx": ProfileDefaults("irisx", rate_limit=RateLimit(per_minute=60, per_hour=1000)),
        "standard": ProfileDefaults("standard"),
        "custom": ProfileDefaults(),
    }
)

PROFILE_ENVELOPES: Mapping[ProfileName, EnvelopeName] = MappingProxyType(
    {
        "pusher": "pusher",
        "sockudo": "pusher",
        "pulse": "pulse",
        "realcast": "realcast",
        "remotedevai": "remotedevai",
        "irisx": "irisx",
        "standard": "standard",
        "custom": "pusher",
    }
)


def envelope_of(endpoint: Endpoint) -> EnvelopeName:
    """Return how this endpoint's events are wrapped."""
    return endpoint.envelope or PROFILE_ENVELOPES[endpoint.profile]


def batched(endpoint: Endpoint) -> bool:
    """Return whether one request may carry several events."""
    return envelope_of(endpoint) == "pusher"


def gathers(endpoint: Endpoint) -> bool:
    """Return whether events gather for a while, so that one request carries several."""
    return endpoint.batching.enabled and batched(endpoint)
