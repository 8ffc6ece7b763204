"""Makes an app of its configuration, with every default of the server merged in."""

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sockudo_py.apps.base import AppDefinition
from sockudo_py.apps.rows import RowError, document
from sockudo_py.apps.types import event_type_problems
from sockudo_py.config import (
    AppConfig,
    AuthConfig,
    Config,
    EndpointConfig,
    RetryOverrides,
    WebhooksConfig,
    app_lists,
    app_names,
    read_app,
    read_row,
)
from sockudo_py.endpoints import (
    OPERATORS,
    PRESETS,
    PROFILE_DEFAULTS,
    Batching,
    ChannelFilter,
    ClientCertificate,
    Endpoint,
    Feed,
    LambdaTarget,
    OAuth2,
    Preset,
    RateLimit,
    RetryPolicy,
    Secret,
)
from sockudo_py.errors import ConfigError
from sockudo_py.event_types import RESERVED_PREFIX, EventType
from sockudo_py.protocol.app import App, AppKey

EndpointCheck = Callable[[Endpoint], Sequence[str]]
DOUBLE = 2.0
DERIVED_IDS = 1_000_000_000  # ids made from a uid lie above it, those that the API counts up below


def define_app(app: AppConfig, config: Config, *, trusted: bool | None = None) -> AppDefinition:
    """Return the app and its endpoints, with the server's limits where the app has none of its own.

    ``trusted`` overrules what endpoints say of themselves; rows of a database get False.
    """
    pairs = [(app.key, app.secret), *((pair.key, pair.secret) for pair in app.keys)]
    keys = tuple(AppKey(key, secret.get_secret_value().encode()) for key, secret in pairs)
    member_kb = app.max_presence_member_size_in_kb or config.presence.max_member_size_in_kb
    event_kb = app.max_event_payload_in_kb or config.event_limits.max_payload_in_kb
    defined = App(
        id=app.id,
        keys=keys,
        enabled=app.enabled,
        require_tls=app.require_tls,
        allowed_origins=app.allowed_origins,
        max_connections=app.max_connections,
        client_events=app.enable_client_messages,
        client_events_per_second=app.max_client_events_per_second,
        client_events_on_encrypted=app.enable_encrypted_client_messages,
        user_authentication=app.enable_user_authentication,
        authorization_timeout=config.user_authentication_timeout if app.enable_authorized_connections else None,
        subscription_count=app.enable_subscription_count,
        watchlist=app.enable_watchlist_events,
        max_watchlist=app.max_watchlist_size,
        max_presence_members=app.max_presence_members_per_channel or config.presence.max_members_per_channel,
        max_user_info_bytes=int(member_kb * 1024),
        max_user_id_length=config.presence.max_user_id_length,
        max_channel_name_length=app.max_channel_name_length or config.channel_limits.max_name_length,
        max_event_name_length=app.max_event_name_length or config.event_limits.max_name_length,
        max_event_bytes=int(event_kb * 1024),
        max_channels_per_event=app.max_event_channels_at_once or config.event_limits.max_channels_at_once,
        max_batch_size=app.max_event_batch_size or config.event_limits.max_batch_size,
        max_subscriptions=app.max_subscriptions_per_connection,
        subscribes_per_second=app.max_subscribes_per_second,
        subscribe_burst=app.subscribe_burst,
        backend_events_per_second=app.max_backend_events_per_second,
        read_requests_per_second=app.max_read_requests_per_second,
        cache_ttl=app.cache_ttl or config.channel_limits.cache_ttl,
    )
    endpoints = tuple(
        define_endpoint(
            endpoint,
            defined,
            config.webhooks,
            uid=endpoint.uid or derived_uid(app.id, index, endpoint),
            trusted=trusted,
        )
        for index, endpoint in enumerate(app.webhooks)
    )
    types = tuple(EventType(one.name, one.description, one.data_schema, one.example) for one in app.event_types)
    return AppDefinition(defined, endpoints, types)


def define_apps(config: Config, check: EndpointCheck | None = None) -> list[AppDefinition]:
    """Return every app of ``app_manager.array``. Raises ConfigError with what ``check`` finds wrong with endpoints."""
    definitions = [define_app(app, config) for app in config.app_manager.array.apps]
    found = []
    for index, definition in enumerate(definitions):
        place = config.place_of_webhooks(index)
        found += [f"{place}: {problem}" for problem in _problems(definition, check)]
    if found:
        raise ConfigError(found)
    return definitions


def define_operators(config: Config, check: EndpointCheck | None = None) -> tuple[Endpoint, ...]:
    """Return the endpoints of ``webhooks.operators``. Raises ConfigError with what is wrong with them."""
    nobody = App(OPERATORS, ())
    found: list[Endpoint] = []
    problems: list[str] = []
    for index, given in enumerate(config.webhooks.operators):
        types = given.event_types or ("*",)
        uid = given.uid or derived_uid(OPERATORS, index, given)
        whole = given.model_copy(update={"profile": given.profile or "standard", "event_types": types})
        endpoint = define_endpoint(whole, nobody, config.webhooks, uid=uid)
        wrong = [] if check is None else [line.partition(": ")[2].partition(": ")[2] for line in check(endpoint)]
        if endpoint.profile in ("pusher", "sockudo"):
            wrong = [f"profile: {endpoint.profile} signs with an app's secret; use standard, or another one"]
        wrong += [
            f"event_types: {name} is none that operators get; each begins with {RESERVED_PREFIX}"
            for name in types
            if name != "*" and not name.startswith(RESERVED_PREFIX)
        ]
        if endpoint.filter != ChannelFilter():
            wrong.append("filter: these events have no channel; remove it")
        problems += [f"webhooks.operators[{index}]: {line}" for line in wrong]
        found.append(endpoint)
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def longest_wait(config: Config) -> float:
    """Return the longest wait for a retry in seconds, by any preset or any endpoint of the configuration."""
    common = config.webhooks.retry
    presets = [
        replace(preset.policy(), jitter=common.jitter, retry_after_max=common.retry_after_max_ms / 1000)
        for preset in PRESETS.values()
    ]
    apps = (define_app(app, config) for app in config.app_manager.array.apps)
    own = [endpoint.retry for app in apps for endpoint in app.endpoints]
    own += [endpoint.retry for endpoint in define_operators(config)]
    return max(policy.longest_wait for policy in (*presets, *own))


def app_reader(
    config: Config,
    env: Mapping[str, str],
    check: EndpointCheck | None = None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> Callable[[bytes, str], AppDefinition]:
    """Return a function from a file's content and name to its app, for the folder driver; it raises ConfigError."""

    def read(content: bytes, file: str) -> AppDefinition:
        app, warnings = read_app(content, file, env)
        definition = define_app(app, config)
        found = _problems(definition, check)
        if found:
            raise ConfigError([f"{file}: {problem}" for problem in found])
        for warning in warnings:
            on_warning(warning)
        return definition

    return read


def row_reader(
    config: Config, check: EndpointCheck | None = None
) -> Callable[[Mapping[str, object], str], tuple[AppDefinition, Sequence[str]]]:
    """Return a function that makes an app, with warnings, of a row of a table and the row's name.

    It raises ConfigError. Endpoints of rows are not trusted: a tenant may be able to write rows.
    """
    names, lists = app_names(), app_lists()

    def read(row: Mapping[str, object], place: str) -> tuple[AppDefinition, Sequence[str]]:
        try:
            app, warnings = read_row(document(row, names, lists), place)
        except RowError as error:
            raise ConfigError([f"{place}: {error}"]) from error
        definition = define_app(app, config, trusted=False)
        found = _problems(definition, check)
        if found:
            raise ConfigError([f"{place}: {problem}" for problem in found])
        return definition, warnings

    return read


def define_endpoint(
    endpoint: EndpointConfig,
    app: App,
    defaults: WebhooksConfig,
    *,
    uid: str,
    number: int | None = None,
    trusted: bool | None = None,
) -> Endpoint:
    """Return an endpoint with every default merged in.

    Args:
        endpoint: As configured or sent to the API.
        app: The app that it belongs to.
        defaults: The section ``webhooks``.
        uid: Its identity.
        number: Its id; None: the configured one, else one made from ``uid``.
        trusted: Overrules the configured value; the API passes False.
    """
    profile = endpoint.profile or defaults.signature.profile
    preset = _preset(endpoint, defaults)
    own_habit = endpoint.profile is not None or endpoint.retry.preset is not None
    timeout_ms = endpoint.request_timeout_ms or (None if own_habit else defaults.request_timeout_ms)
    batching = endpoint.batching
    enabled = defaults.batching.enabled if batching.enabled is None else batching.enabled
    duration_ms = defaults.batching.duration if batching.duration is None else batching.duration
    return Endpoint(
        uid=uid,
        id=number or endpoint.id or derived_id(uid),
        app_id=app.id,
        app_keys=app.keys,
        url=endpoint.url,
        function=_target(endpoint),
        feed=_feed(endpoint),
        name=endpoint.name,
        description=endpoint.description,
        enabled=endpoint.enabled,
        event_types=frozenset(endpoint.event_types),
        filter=ChannelFilter(
            channel_type=endpoint.filter.channel_type,
            channel_prefix=endpoint.filter.channel_prefix,
            channel_suffix=endpoint.filter.channel_suffix,
            channel_pattern=endpoint.filter.channel_pattern,
            channel_namespace=endpoint.filter.channel_namespace,
            channel_namespaces=endpoint.filter.channel_namespaces,
        ),
        headers=(
            *((name, value.get_secret_value()) for name, value in endpoint.headers.items()),
            *_authorization(endpoint.auth),
        ),
        auth=None if endpoint.auth is None else endpoint.auth.type,
        oauth2=_oauth2(endpoint.auth),
        client_cert=None
        if endpoint.client_cert_path is None
        else ClientCertificate(endpoint.client_cert_path, endpoint.client_key_path),
        profile=profile,
        also_sign=endpoint.also_sign,
        envelope=endpoint.envelope,
        signature_header=endpoint.signature_header,
        signature_template=endpoint.signature_template,
        signature_encoding=endpoint.signature_encoding,
        signature_prefix=endpoint.signature_prefix,
        timestamp_header=endpoint.timestamp_header,
        id_header=endpoint.id_header,
        json_style=endpoint.json_style or defaults.signature.json_style,
        payload=endpoint.payload or defaults.payload,
        secrets=_secrets(endpoint),
        retry=_retry_policy(endpoint, defaults, preset),
        request_timeout=preset.request_timeout if timeout_ms is None else timeout_ms / 1000,
        connect_timeout=(endpoint.connect_timeout_ms or defaults.connect_timeout_ms) / 1000,
        batching=Batching(
            enabled=enabled,
            duration=duration_ms / 1000,
            size=batching.size or defaults.batching.size,
            max_bytes=defaults.batching.max_bytes,
        ),
        rate_limit=_rate_limit(endpoint, PROFILE_DEFAULTS[profile].rate_limit),
        max_in_flight=endpoint.max_in_flight or defaults.delivery.max_in_flight_per_endpoint,
        ordering=endpoint.ordering or defaults.delivery.ordering,
        auto_resync=endpoint.auto_resync,
        disable_on_410=preset.disable_on_410 or defaults.auto_disable.on_410,
        trusted=endpoint.trusted if trusted is None else trusted,
        require_https=defaults.security.require_https or PROFILE_DEFAULTS[profile].require_https,
    )


def derived_uid(app_id: str, index: int, endpoint: EndpointConfig) -> str:
    """Return the uid of an endpoint that was given none: the same after each restart, so that queued jobs find it."""
    function = endpoint.function
    target = endpoint.url or (f"{function.region}/{function.function_name}/{function.qualifier}" if function else "")
    digest = hashlib.sha256("\0".join((app_id, str(index), target)).encode()).digest()
    return "wh_" + base64.b32encode(digest[:15]).decode().lower()


def derived_id(uid: str) -> int:
    """Return the number of an endpoint that was given none; it fits into 31 bits."""
    return DERIVED_IDS + int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8]) % DERIVED_IDS


def _problems(definition: AppDefinition, check: EndpointCheck | None) -> list[str]:
    if check is None:
        return []
    found = [problem for endpoint in definition.endpoints for problem in check(endpoint)]
    return found + [f"event_types: {problem}" for problem in event_type_problems(definition.event_types)]


def _target(endpoint: EndpointConfig) -> LambdaTarget | None:
    function = endpoint.function
    if function is None:
        return None
    return LambdaTarget(
        function_name=function.function_name,
        region=function.region,
        invocation_type=function.invocation_type,
        qualifier=function.qualifier,
        payload_format=function.payload_format,
    )


def _authorization(auth: AuthConfig | None) -> Iterable[tuple[str, str]]:
    """Yield the header of what never changes."""
    if auth is not None and auth.type == "basic":
        password = "" if auth.password is None else auth.password.get_secret_value()
        yield "Authorization", "Basic " + base64.b64encode(f"{auth.username}:{password}".encode()).decode()
    if auth is not None and auth.token is not None:
        yield "Authorization", f"Bearer {auth.token.get_secret_value()}"


def _oauth2(auth: AuthConfig | None) -> OAuth2 | None:
    if auth is None or auth.token_url is None or auth.client_id is None or auth.client_secret is None:
        return None
    return OAuth2(
        token_url=auth.token_url,
        client_id=auth.client_id,
        client_secret=auth.client_secret.get_secret_value(),
        scope=auth.scope,
        audience=auth.audience,
        client_auth=auth.client_auth or "basic",
    )


def _feed(endpoint: EndpointConfig) -> Feed | None:
    return None if endpoint.feed is None else Feed(float(endpoint.feed.retention_s), endpoint.feed.max_events)


def _secrets(endpoint: EndpointConfig) -> tuple[Secret, ...]:
    if endpoint.secret is None:
        return ()
    current = Secret(endpoint.secret.get_secret_value())
    if endpoint.previous_secret is None:
        return (current,)
    until = endpoint.previous_secret_expires_at
    expires_at = math.inf if until is None else datetime.fromisoformat(until).timestamp()
    return current, Secret(endpoint.previous_secret.get_secret_value(), expires_at)


def _preset(endpoint: EndpointConfig, defaults: WebhooksConfig) -> Preset:
    """Return the preset that is named nearest: by the endpoint, by its profile, for the server."""
    if endpoint.retry.preset is not None:
        return PRESETS[endpoint.retry.preset]
    if endpoint.profile is not None and PROFILE_DEFAULTS[endpoint.profile].preset != "sockudo":
        return PRESETS[PROFILE_DEFAULTS[endpoint.profile].preset]
    return PRESETS[defaults.retry.preset]


def _retry_policy(endpoint: EndpointConfig, defaults: WebhooksConfig, preset: Preset) -> RetryPolicy:
    mine, common = endpoint.retry, defaults.retry
    # The server's numbers belong to the server's preset: an endpoint with another one starts from that.
    levels: tuple[RetryOverrides, ...] = (mine, common) if preset is PRESETS[common.preset] else (mine,)
    enabled = common.enabled if mine.enabled is None else mine.enabled
    honor = common.honor_retry_after if mine.honor_retry_after is None else mine.honor_retry_after
    longest_ms = common.retry_after_max_ms if mine.retry_after_max_ms is None else mine.retry_after_max_ms
    max_age_ms = next((level.max_age_ms for level in levels if level.max_age_ms is not None), None)
    return RetryPolicy(
        schedule=_schedule(levels, preset) if enabled else (),
        retry_on=next((level.retry_on for level in levels if level.retry_on is not None), preset.retry_on),
        jitter=common.jitter if mine.jitter is None else mine.jitter,
        honor_retry_after=honor,
        retry_after_max=longest_ms / 1000,
        max_age=preset.max_age if max_age_ms is None else max_age_ms / 1000 or None,
    )


def _schedule(levels: Iterable[RetryOverrides], preset: Preset) -> tuple[float, ...]:
    """Return the seconds before each retry: of the first level that says anything, else the preset's."""
    for level in levels:
        if level.schedule_ms is not None:
            return tuple(ms / 1000 for ms in level.schedule_ms)
        retries = level.max_retries if level.max_attempts is None else level.max_attempts - 1
        if (level.initial_backoff_ms, level.multiplier, level.max_backoff_ms) != (None, None, None):
            return backoff(
                len(preset.schedule) if retries is None else retries,
                initial=(level.initial_backoff_ms or 1000) / 1000,
                multiplier=level.multiplier or DOUBLE,
                longest=(level.max_backoff_ms or 60000) / 1000,
            )
        if retries is not None:
            last = preset.schedule[-1]
            more = backoff(retries, initial=last * DOUBLE, multiplier=DOUBLE, longest=max(60.0, last))
            return (*preset.schedule, *more)[:retries]
    return preset.schedule


def backoff(retries: int, *, initial: float, multiplier: float, longest: float) -> tuple[float, ...]:
    """Return the seconds before each retry: ``initial``, each ``multiplier`` times the last, up to ``longest``."""
    waits = []
    wait = min(initial, longest)
    for _ in range(retries):
        waits.append(wait)
        wait = min(wait * multiplier, longest)
    return tuple(waits)


def _rate_limit(endpoint: EndpointConfig, profile: RateLimit) -> RateLimit:
    own = endpoint.rate_limit
    if (own.per_second, own.per_minute, own.per_hour) == (None, None, None):
        return profile
    return RateLimit(own.per_second, own.per_minute, own.per_hour)
