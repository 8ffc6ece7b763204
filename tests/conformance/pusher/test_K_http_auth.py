"""Section K: who may use the HTTP API."""

import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from sockudo_py.http.auth import authenticate
from sockudo_py.http.messages import ApiRequest
from sockudo_py.http.query import read_signed
from sockudo_py.protocol.app import App, AppKey
from tests.support.api import Pairs, Response, auth_pairs, encode, md5, signature
from tests.support.server import KEY, SECRET, TestApp
from tests.support.site import Site

EVENT = b'{"name":"e","channel":"c","data":"{}"}'
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
VECTORS: list[tuple[str, str, bytes, Pairs, str]] = [
    (
        "POST",
        "/apps/3/events",
        b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}',
        [],
        "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
    ),
    (
        "GET",
        "/apps/3/channels",
        b"",
        [("filter_by_prefix", "presence-"), ("info", "user_count")],
        "16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291",
    ),
    (
        "GET",
        "/apps/3/channels",
        b"",
        [("body_md5", EMPTY_MD5)],
        "5c3cd75022c4f62c35ad22f6a9cce366c860477a3b7092ca790ecfc17e6af302",
    ),
    (
        "GET",
        "/apps/3/channels/presence-a,b",
        b"",
        [("info", "user_count,subscription_count")],
        "5edbb1f3d4c0112645e2681956e9e880762f07f4b3f50d9306c21eb128c4c1b0",
    ),
]


def refused(response: Response, status: int = 401) -> None:
    """Fail unless this is a plain-text refusal."""
    assert response.status == status, response
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.endswith("\n")


@pytest.mark.parametrize(("method", "path", "body", "params", "wanted"), VECTORS)
def test_148_the_published_vectors_verify_at_their_time(
    method: str, path: str, body: bytes, params: Pairs, wanted: str
) -> None:
    pairs = auth_pairs(TestApp(), body, timestamp=1353088179) + params
    assert signature(SECRET, method, path, pairs) == wanted
    query = encode([*pairs, ("auth_signature", wanted)])
    request = ApiRequest(method=method, path=path, query=query, headers={}, body=body, remote="127.0.0.1")
    app = App(id="3", keys=(AppKey(KEY, SECRET.encode()),))
    parsed = read_signed(query)
    assert authenticate(request, app, parsed, now=1353088179.0) is None
    assert authenticate(request, app, parsed, now=1353088179.0 + 601) is not None


@pytest.mark.parametrize(("offset", "status"), [(-590, 200), (590, 200), (-620, 401), (620, 401)])
def test_149_the_timestamp_may_be_600_seconds_off(site: Site, offset: int, status: int) -> None:
    auth = auth_pairs(site.app, EVENT, timestamp=int(time.time()) + offset)
    response = site.api.signed("POST", site.api.path("/events"), EVENT, auth=auth)
    assert response.status == status
    if status == 401:
        assert "Timestamp expired" in response.text


@pytest.mark.parametrize(("offset", "accepted"), [(-600, True), (600, True), (-601, False), (601, False)])
def test_149_exactly_600_seconds_are_accepted_and_601_are_not(offset: int, accepted: bool) -> None:
    method, path, body, params, wanted = VECTORS[0]
    query = encode([*auth_pairs(TestApp(), body, timestamp=1353088179), *params, ("auth_signature", wanted)])
    request = ApiRequest(method=method, path=path, query=query, headers={}, body=body, remote="127.0.0.1")
    app = App(id="3", keys=(AppKey(KEY, SECRET.encode()),))
    failure = authenticate(request, app, read_signed(query), now=1353088179.0 + offset)
    assert (failure is None) is accepted


@pytest.mark.parametrize("missing", ["auth_key", "auth_timestamp", "auth_version", "auth_signature"])
def test_150_every_authentication_parameter_is_needed(site: Site, missing: str) -> None:
    path = site.api.path("/events")
    pairs = [pair for pair in auth_pairs(site.app, EVENT) if pair[0] != missing]
    if missing != "auth_signature":
        pairs.append(("auth_signature", signature(site.app.secret, "POST", path, pairs)))
    refused(site.api.raw("POST", f"{path}?{encode(pairs)}", EVENT))


@pytest.mark.parametrize("version", ["2.0", "1", "", "1.0 "])
def test_151_other_versions_are_refused(site: Site, version: str) -> None:
    auth = auth_pairs(site.app, EVENT, version=version)
    refused(site.api.signed("POST", site.api.path("/events"), EVENT, auth=auth))


@pytest.mark.parametrize("timestamp", ["now", "", "1e9", "-5", "١٢٣", "9" * 40, "1353088179.5"])
def test_151_a_timestamp_that_is_no_integer_is_refused(site: Site, timestamp: str) -> None:
    auth = auth_pairs(site.app, EVENT, timestamp=timestamp)
    refused(site.api.signed("POST", site.api.path("/events"), EVENT, auth=auth))


async def test_152_a_body_altered_after_signing_is_refused_and_not_published(site: Site) -> None:
    path = site.api.path("/events")
    pairs = auth_pairs(site.app, EVENT)
    query = encode([*pairs, ("auth_signature", signature(site.app.secret, "POST", path, pairs))])
    async with site.connect() as client:
        await client.subscribe("c")
        refused(site.api.raw("POST", f"{path}?{query}", EVENT.replace(b'"e"', b'"f"')))
        await client.quiet()
        assert site.api.raw("POST", f"{path}?{query}", EVENT).status == 200
        await client.expect("e", "c")


def test_153_a_body_without_body_md5_is_refused(site: Site) -> None:
    auth = [pair for pair in auth_pairs(site.app, EVENT) if pair[0] != "body_md5"]
    refused(site.api.signed("POST", site.api.path("/events"), EVENT, auth=auth))


def test_154_a_get_may_carry_the_md5_of_the_empty_body(site: Site) -> None:
    auth = [*auth_pairs(site.app), ("body_md5", EMPTY_MD5)]
    response = site.api.signed("GET", site.api.path("/channels"), auth=auth)
    assert (response.status, response.body) == (200, b'{"channels":{}}')


def test_155_a_get_with_another_md5_is_refused(site: Site) -> None:
    auth = [*auth_pairs(site.app), ("body_md5", md5(b"something"))]
    refused(site.api.signed("GET", site.api.path("/channels"), auth=auth))


@pytest.mark.parametrize("sent", ["info=subscription_count%2Ccache", "info=subscription_count,cache"])
def test_156_a_comma_in_a_value_may_be_raw_or_encoded(site: Site, sent: str) -> None:
    params = [("info", "subscription_count,cache")]
    response = site.api.signed("GET", site.api.path("/channels/cache-x"), params=params, sent=sent)
    assert response.status == 200, response


def test_156_a_plus_and_percent_20_are_spaces(site: Site) -> None:
    for sent in ("filter_by_prefix=a+b", "filter_by_prefix=a%20b"):
        params = [("filter_by_prefix", "a b")]
        response = site.api.signed("GET", site.api.path("/channels"), params=params, sent=sent)
        assert response.status != 401, response


@pytest.mark.parametrize(
    "sent",
    [
        "info[0]=subscription_count&info[1]=cache",
        "info%5B0%5D=subscription_count&info%5B1%5D=cache",
        "info[]=subscription_count&info[]=cache",
    ],
)
def test_157_an_array_as_php_sends_it_is_signed_joined(site: Site, sent: str) -> None:
    params = [("info", "subscription_count,cache")]
    response = site.api.signed("GET", site.api.path("/channels/cache-x"), params=params, sent=sent)
    assert response.status == 200, response


@pytest.mark.parametrize("encoded", [False, True])
async def test_158_a_channel_name_in_the_path_may_be_percent_encoded(site: Site, encoded: bool) -> None:
    name = "room=@a,b.c;d"
    signed_path = site.api.path(f"/channels/{name}")
    path = site.api.path(f"/channels/{quote(name, safe='')}") if encoded else signed_path
    async with site.connect() as client:
        await client.subscribe(name)
        response = site.api.signed("GET", path, signed_path=signed_path)
        assert (response.status, response.json["occupied"]) == (200, True)
        response = site.api.signed("GET", path)  # whoever signs what goes over the wire is right too
        assert (response.status, response.json["occupied"]) == (200, True)


def test_159_names_of_parameters_are_compared_in_lower_case(site: Site) -> None:
    auth = [(name.title(), value) for name, value in auth_pairs(site.app)]
    assert site.api.signed("GET", site.api.path("/channels"), auth=auth).status == 200


def test_160_the_key_of_another_app_is_refused(site: Site) -> None:
    auth = [("auth_key", KEY), *auth_pairs(site.app)[1:]]
    refused(site.api.signed("GET", site.api.path("/channels"), auth=auth))
    other = TestApp(site.app.id, KEY, SECRET)  # rightly signed with the other app's secret
    pairs = auth_pairs(other)
    sign = signature(SECRET, "GET", site.api.path("/channels"), pairs)
    refused(site.api.raw("GET", f"{site.api.path('/channels')}?{encode([*pairs, ('auth_signature', sign)])}"))


def test_160_an_unknown_app_is_404(site: Site) -> None:
    refused(site.api.signed("GET", "/apps/no-such-app/channels"), 404)


@pytest.mark.parametrize(
    "change",
    [
        lambda sign: sign[:63],
        lambda sign: sign + "0",
        lambda sign: sign.upper(),
        lambda sign: "é" * 64,
        lambda sign: "",
        lambda sign: "\x00" * 64,
    ],
    ids=["63", "65", "upper", "non-ascii", "empty", "nul"],
)
def test_161_a_malformed_signature_is_401_and_never_500(site: Site, change: Callable[[str], str]) -> None:
    path = site.api.path("/channels")
    pairs = auth_pairs(site.app)
    sign = change(signature(site.app.secret, "GET", path, pairs))
    refused(site.api.raw("GET", f"{path}?{encode([*pairs, ('auth_signature', sign)])}"))


async def test_162_the_unsigned_curl_of_the_seed_is_401(site: Site) -> None:
    body = json.dumps({"name": "test-event", "channels": ["test-channel"], "data": {"message": "test"}}).encode()
    async with site.connect() as client:
        await client.subscribe("test-channel")
        refused(site.api.raw("POST", site.api.path("/events"), body))
        await client.quiet()
