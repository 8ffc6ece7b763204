"""The parts of documents that are made of the code: ``python -m tests.docs.made`` makes them anew.

They stand in the documents between ``<!-- made: NAME -->`` and ``<!-- /made -->``.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

from sockudo_py.changes import (
    CacheMissed,
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    ConnectionEstablished,
    ConnectionTerminated,
    MemberAdded,
    MemberRemoved,
    SubscriptionCountChanged,
)
from sockudo_py.endpoints import (
    PRESETS,
    PROFILE_DEFAULTS,
    PROFILE_ENVELOPES,
    ChannelFilter,
    Endpoint,
    ProfileName,
    RetryOn,
    Secret,
)
from sockudo_py.protocol.app import AppKey
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.endpoints.filters import compile_filter
from sockudo_py.webhooks.endpoints.profiles import SCHEMES, scheme_headers
from sockudo_py.webhooks.events import EVENT_NAMES, Event, encode, event_of
from sockudo_py.webhooks.targets.base import ERROR_CLASSES, Failure
from sockudo_py.webhooks.targets.retry import wants_retry
from sockudo_py.webhooks.trigger.asked import Asked

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PART: Final = re.compile(r"(<!-- made: (?P<name>[a-z0-9_ -]+) -->\n).*?(<!-- /made -->)", re.DOTALL)

APP: Final = "my-app"
TIME_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SOCKET: Final = "123456789.987654321"
KEY: Final = AppKey("app-key", b"app-secret")
SECRET: Final = "an-endpoint-secret-of-32-characters"
STANDARD_SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

CHANGES: Final[tuple[Change, ...]] = (
    ChannelOccupied(APP, "news"),
    ChannelVacated(APP, "news"),
    MemberAdded(APP, "presence-room", "17", SOCKET, '{"name":"Ann"}'),
    MemberRemoved(APP, "presence-room", "17", SOCKET),
    ClientEventSent(APP, "presence-room", "client-typing", '{"typing":true}', SOCKET, "17"),
    CacheMissed(APP, "cache-prices"),
    SubscriptionCountChanged(APP, "news", 3),
    ConnectionEstablished(APP, SOCKET),
    ConnectionTerminated(APP, SOCKET),
)
CHANNELS: Final = (
    "news",
    "cache-news",
    "private-chat",
    "private-cache-chat",
    "presence-chat",
    "presence-cache-chat",
    "private-encrypted-chat",
    "orders.eu",
    "private-orders-7",
)
FILTERS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"channel_type": "public"},
    {"channel_type": "private"},
    {"channel_type": "presence"},
    {"channel_type": "encrypted"},
    {"channel_type": "cache"},
    {"channel_prefix": "private-"},
    {"channel_type": "private", "channel_prefix": "orders-"},
    {"channel_suffix": "chat"},
    {"channel_namespace": "orders"},
    {"channel_namespaces": ["orders", "news"]},
    {"channel_pattern": "^(private|presence)-chat$"},
    {"channel_pattern": "^(?!private-encrypted-)"},
)


def sample(name: str) -> Event:
    """Return the example of an event."""
    [change] = [change for change in CHANGES if EVENT_NAMES[type(change)] == name]
    return event_of(change, TIME_MS)


def endpoint(profile: ProfileName = "pusher", **fields: Any) -> Endpoint:
    """Return an endpoint whose requests the examples show."""
    secret = STANDARD_SECRET if profile == "standard" else SECRET
    given = {"url": "https://example.com/webhooks", "event_types": frozenset({"*"}), "secrets": (Secret(secret),)}
    return Endpoint(uid="wh_example", id=1, app_id=APP, app_keys=(KEY,), profile=profile, **{**given, **fields})


def custom() -> bytes:
    """Return the example of an application's own event."""
    return Asked("order.paid", {"amount": "12.50"}).text("order-17", TIME_MS)


def request(profile: ProfileName, *names: str) -> str:
    """Return the request that carries these events, as text; without names, an application's own event."""
    texts = b",".join(encode(sample(name)) for name in names) or custom()
    job = Job(events_text=b"[%b]" % texts, id="dl_0f3c9a51", endpoint="wh_example", app_id=APP, created_ms=TIME_MS)
    [sent] = requests_for(endpoint(profile), job, TIME_MS / 1000)
    fixed = [(name, re.sub(r"sockudo-py/.*", "sockudo-py/VERSION", value)) for name, value in sent.headers]
    head = "\n".join(f"{name}: {value}" for name, value in fixed)
    return f"POST /webhooks HTTP/1.1\nHost: example.com\n{head}\n\n{sent.body.decode()}"


def _code(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _filters() -> str:
    def row(fields: dict[str, Any]) -> Iterable[str]:
        wanted: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
        }
        test = compile_filter(ChannelFilter(**wanted))
        yield f"`{json.dumps(fields)}`".replace("|", "\\|")
        yield from ("yes" if test is None or test(channel) else "" for channel in CHANNELS)

    return _table(["filter", *(f"`{channel}`" for channel in CHANNELS)], map(row, FILTERS))


def _profiles() -> str:
    def row(profile: ProfileName) -> Iterable[str]:
        defaults = PROFILE_DEFAULTS[profile]
        scheme = SCHEMES.get(profile)
        yield f"`{profile}`"
        yield "yours" if scheme is None else ", ".join(f"`{name}`" for name in scheme_headers(scheme))
        yield "yours" if scheme is None else f"`{scheme.content}`"
        yield "yours" if scheme is None else f"{scheme.encoding}, after `{scheme.prefix}`" if scheme.prefix else "hex"
        yield "the app's" if scheme is not None and scheme.keys == "app" else "the endpoint's"
        yield "many events" if PROFILE_ENVELOPES[profile] == "pusher" else "one event"
        yield f"`{defaults.preset}`"
        limit = defaults.rate_limit
        yield "; ".join(
            [
                *(["https only"] if defaults.require_https else []),
                *([f"{limit.per_minute} requests a minute, {limit.per_hour} an hour"] if limit.per_minute else []),
            ]
        )

    head = ("profile", "headers", "what is signed", "how", "secret", "a request holds", "preset", "also")
    return _table(head, map(row, get_args(ProfileName)))


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _about(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:g} s"


def _presets() -> str:
    def row(name: str) -> Iterable[str]:
        preset = PRESETS[name]  # type: ignore[index]
        yield f"`{name}`"
        yield ", ".join(map(_duration, preset.schedule))
        yield _about(sum(preset.schedule))
        yield f"`{preset.retry_on}`"
        yield _duration(preset.request_timeout)
        extra = [f"gives up at an age of {_duration(preset.max_age)}"] if preset.max_age else []
        yield "; ".join([*extra, *(["an answer of 410 disables the endpoint"] if preset.disable_on_410 else [])])

    head = ("preset", "waits before each retry", "together", "retried", "timeout of a request", "also")
    return _table(head, map(row, PRESETS))


_STATUSES: Final = (("http_5xx", 503), ("http_4xx", 408), ("http_4xx", 429), ("http_4xx", 404), ("redirect", 302))


def _retried() -> str:
    policies = get_args(RetryOn)

    def row(error_class: str, status: int | None) -> Iterable[str]:
        yield f"`{error_class}`" + ("" if status is None else f", such as {status}")
        failure = Failure(error_class, "", status)
        yield from ("yes" if wants_retry(failure, policy) else "no" for policy in policies)

    shown = {name for name, _ in _STATUSES}
    rows: list[tuple[str, int | None]] = [*_STATUSES, *((name, None) for name in sorted(ERROR_CLASSES - shown))]
    return _table(["error class", *(f"`{policy}`" for policy in policies)], (row(*each) for each in rows))


def _event(name: str) -> str:
    return _code(json.dumps(sample(name), indent=2), "json")


def _request(profile: ProfileName, *names: str) -> str:
    return _code(request(profile, *names), "http")


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    **{f"event {name}": partial(_event, name) for name in EVENT_NAMES.values()},
    **{f"request {profile}": partial(_request, profile, "channel_occupied") for profile in SCHEMES},
    "custom pusher": partial(_request, "pusher"),
    "custom irisx": partial(_request, "irisx"),
    "batch": partial(_request, "pusher", "channel_occupied", "member_added"),
    "profiles": _profiles,
    "filters": _filters,
    "presets": _presets,
    "retried": _retried,
}


def documents() -> dict[Path, str]:
    """Return the documents that hold such parts."""
    texts = {path: path.read_text() for path in sorted(DOCS.rglob("*.md"))}
    return {path: text for path, text in texts.items() if PART.search(text)}


def made(text: str) -> str:
    """Return a document with its parts made anew. Raises KeyError for a name that is unknown."""
    return PART.sub(lambda part: part[1] + PARTS[part["name"]]() + part[3], text)


if __name__ == "__main__":
    for document, old in documents().items():
        document.write_text(made(old))
