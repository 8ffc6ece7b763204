"""Checks every endpoint before it goes live. Pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sockudo_py.endpoints import Endpoint, LambdaTarget
from sockudo_py.webhooks.endpoints.filters import filter_problems, impossible
from sockudo_py.webhooks.endpoints.guard import url_problems
from sockudo_py.webhooks.endpoints.headers import MAX_HEADERS, MAX_VALUE_BYTES, header_problems, name_problems
from sockudo_py.webhooks.endpoints.keypairs import PRIVATE_KEY_PREFIX, KeyPairsUnavailable, private_key
from sockudo_py.webhooks.endpoints.profiles import Scheme, scheme_headers, scheme_of, standard_key

# AWS's own pattern: a name, a part of an ARN, or all of it.
_FUNCTION = re.compile(
    r"(arn:aws[a-zA-Z-]*:lambda:)?(?P<region>[a-z]{2}(-[a-z]+)+-\d{1,2}:)?(\d{12}:)?(function:)?[a-zA-Z0-9_-]{1,64}"
    r"(:(\$LATEST|[a-zA-Z0-9_-]{1,128}))?"
)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")
_QUALIFIER = re.compile(r"[a-zA-Z0-9$_-]{1,128}")


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """Rules that the operator sets for endpoints."""

    require_https: bool = False
    allowed_ports: Collection[int] | None = None
    functions: str | None = None  # why the server can invoke none of AWS Lambda; None: it can
    feeds: str | None = None  # why the server can have no feeds; None: it can
    allowed_functions: Collection[str] = ()  # those that endpoints may invoke that are not the operator's own
    max_headers: int = MAX_HEADERS
    max_header_value_bytes: int = MAX_VALUE_BYTES


def endpoint_problems(endpoint: Endpoint, rules: EndpointRules = EndpointRules()) -> list[str]:
    """Return what is wrong with an endpoint, one line each, ``app 1: webhook wh_x: key: what and what to do``."""
    prefix = f"app {endpoint.app_id}: webhook {endpoint.name or endpoint.uid}"
    return [f"{prefix}: {problem}" for problem in problems_of(endpoint, rules)]


def problems_of(endpoint: Endpoint, rules: EndpointRules = EndpointRules()) -> Iterable[str]:
    """Yield what is wrong with an endpoint, ``key: what and what to do``, without its name."""
    if sum(target is not None for target in (endpoint.url, endpoint.function, endpoint.feed)) != 1:
        yield "give exactly one of url, lambda and feed"
    if endpoint.feed is not None and rules.feeds is not None:
        yield f"feed: {rules.feeds}"
    if endpoint.feed is not None and endpoint.auth is not None:
        yield "auth: is for requests to a url; the reader of a feed has a key of its own"
    if endpoint.url is not None:
        https = rules.require_https or endpoint.require_https
        yield from url_problems(endpoint.url, require_https=https, allowed_ports=rules.allowed_ports)
    if endpoint.function is not None and rules.functions is not None:
        yield f"lambda: {rules.functions}"
    elif endpoint.function is not None:
        yield from _function_problems(endpoint.function)
        if not endpoint.trusted and _names(endpoint.function).isdisjoint(rules.allowed_functions):
            yield "lambda.function_name: is none of webhooks.security.allowed_functions; only the operator can add it"
    yield from header_problems(
        endpoint.headers, max_headers=rules.max_headers, max_value_bytes=rules.max_header_value_bytes
    )
    yield from _auth_problems(endpoint, rules)
    yield from filter_problems(endpoint.filter) or impossible(endpoint.filter, endpoint.event_types)
    yield from _signature_problems(endpoint)


def _auth_problems(endpoint: Endpoint, rules: EndpointRules) -> Iterable[str]:
    if endpoint.auth == "oauth2" and any(name.lower() == "authorization" for name, _ in endpoint.headers):
        yield "headers.Authorization: auth sets this header; remove one of them"
    if endpoint.oauth2 is not None:
        if endpoint.function is not None:
            yield "auth.type: oauth2 is for url; a function is invoked with the server's own AWS credentials"
        https = rules.require_https or endpoint.require_https
        for problem in url_problems(endpoint.oauth2.token_url, require_https=https, allowed_ports=rules.allowed_ports):
            yield f"auth.token_{problem}" if problem.startswith("url") else f"auth.token_url: {problem}"
    if endpoint.client_cert is not None and not (endpoint.url or "").startswith("https:"):
        yield "client_cert_path: is for a url that begins with https:"


def _function_problems(function: LambdaTarget) -> Iterable[str]:
    name = _FUNCTION.fullmatch(function.function_name)
    if name is None:
        yield "lambda.function_name: not the name or ARN of a function"
    elif name["region"] not in (None, f"{function.region}:"):
        yield f"lambda.region: {function.region}, but the ARN of the function says {name['region'][:-1]}"
    if not _REGION.fullmatch(function.region):
        yield "lambda.region: not an AWS region, as us-east-1"
    if function.qualifier is not None and not _QUALIFIER.fullmatch(function.qualifier):
        yield "lambda.qualifier: not a version or alias"


def _names(function: LambdaTarget) -> set[str]:
    """Return what an operator who allows this function may write."""
    name = function.function_name if function.qualifier is None else f"{function.function_name}:{function.qualifier}"
    return {name, f"{function.region}:{name}"}


def _signature_problems(endpoint: Endpoint) -> Iterable[str]:
    used: set[str] = set()
    for profile in (endpoint.profile, *endpoint.also_sign):
        if profile == "custom" and endpoint.signature_header is None:
            yield "profile custom: signature_header is missing"
            continue
        scheme = scheme_of(endpoint, profile)
        names = scheme_headers(scheme)
        if profile == "custom":
            yield from name_problems(names)
        for name in names:
            if name.lower() in used:
                yield f"also_sign: {profile} sets the header {name} that another profile of this endpoint sets too"
            used.add(name.lower())
        yield from _secret_problems(endpoint, profile, scheme)


def _fits_a_header(value: str) -> bool:
    return all(" " < character <= "\xff" and not "\x7f" <= character <= "\xa0" for character in value)


def _secret_problems(endpoint: Endpoint, profile: str, scheme: Scheme) -> Iterable[str]:
    if scheme.keys == "app":
        if not endpoint.app_keys:
            yield f"profile {profile}: the app has no key to sign with"
        elif scheme.key_header is not None and not _fits_a_header(endpoint.app_keys[0].key):
            yield f"profile {profile}: the app's key has characters that no header can carry; use ASCII letters"
        return
    if not any(secret.expires_at is None and secret.value for secret in endpoint.secrets):
        yield f"profile {profile}: secret is missing; receivers check the signature with it"
        return
    if scheme.keys == "standard":
        for secret in endpoint.secrets:
            try:
                if secret.value.startswith(PRIVATE_KEY_PREFIX):
                    private_key(secret.value)
                else:
                    standard_key(secret.value)
            except KeyPairsUnavailable as error:
                yield f"profile {profile}: secret: {error}"
            except ValueError as error:
                form = "whsec_ and 24 to 64 bytes in base64, or whsk_ and an Ed25519 key"
                yield f"profile {profile}: secret: {error} ({form})"
