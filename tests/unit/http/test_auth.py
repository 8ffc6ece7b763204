"""Section K of the conformance checklist: who may use the HTTP API."""

import hashlib
import hmac
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.http.api import ApiRequest
from sockudo_py.http.auth import authenticate, is_signed_as_usual
from sockudo_py.http.query import read_signed
from sockudo_py.protocol.app import App, AppKey
from tests.unit.http.support import APP, KEY, NOW, SECRET, World, get, post, sign, signed, text

BODY = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
VECTOR = (
    f"auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f"
    "&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
)
EVENT = {"name": "e", "channel": "c", "data": "x"}


def raw(query: str, method: str = "GET", path: str = "/apps/3/channels", body: bytes = b"") -> ApiRequest:
    return ApiRequest(method, path, query, {}, body, "")


def test_K148_the_documented_vector_is_accepted(world: World) -> None:
    assert world.now_answer(raw(VECTOR, "POST", "/apps/3/events", BODY)).status == 200


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        (
            "/apps/3/channels",
            {"filter_by_prefix": "presence-", "info": "user_count"},
            "16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291",
        ),
        (
            "/apps/3/channels",
            {"body_md5": "d41d8cd98f00b204e9800998ecf8427e"},
            "5c3cd75022c4f62c35ad22f6a9cce366c860477a3b7092ca790ecfc17e6af302",
        ),
        (
            "/apps/3/channels/presence-a,b",
            {"info": "user_count,subscription_count"},
            "5edbb1f3d4c0112645e2681956e9e880762f07f4b3f50d9306c21eb128c4c1b0",
        ),
    ],
)
async def test_K148_the_other_published_signatures_are_accepted(
    world: World, path: str, params: dict[str, str], expected: str
) -> None:
    request = signed("GET", path, params=params)
    assert f"auth_signature={expected}" in request.query
    assert (await world.ask(request)).status == 200


@pytest.mark.parametrize("shift", [-600, 600])
def test_K149_a_timestamp_600_seconds_off_is_accepted(world: World, shift: int) -> None:
    world.now = NOW + shift
    assert world.now_answer(post(EVENT)).status == 200


def test_K149_fractions_of_a_second_of_our_clock_do_not_shorten_the_600_seconds(world: World) -> None:
    world.now = NOW + 600.9
    assert world.now_answer(post(EVENT)).status == 200


@pytest.mark.parametrize("shift", [-601, 601])
def test_K149_a_timestamp_601_seconds_off_is_refused_with_both_times(world: World, shift: int) -> None:
    world.now = NOW + shift
    answer = world.now_answer(post(EVENT))
    assert answer.status == 401
    assert text(answer).startswith("Timestamp expired: Given timestamp (2012-11-16T17:49:39Z) not within 600s of")
    assert world.node.published == []


@pytest.mark.parametrize("name", ["auth_key", "auth_timestamp", "auth_version", "auth_signature"])
def test_K150_each_auth_parameter_is_required(world: World, name: str) -> None:
    request = post(EVENT)
    request.query = "&".join(part for part in request.query.split("&") if not part.startswith(name))
    answer = world.now_answer(request)
    assert answer.status == 401
    assert text(answer) == f"Missing required parameter: {name}\n"


@pytest.mark.parametrize("version", ["2.0", "1", ""])
def test_K151_another_auth_version_is_refused(world: World, version: str) -> None:
    assert world.now_answer(signed("POST", "/apps/3/events", BODY, {"auth_version": version})).status == 401


@pytest.mark.parametrize("stamp", ["", "soon", "1353088179.5", "1_353_088_179", " 1353088179", "١٢٣", "9" * 5000, "-5"])
def test_K151_a_timestamp_that_is_no_integer_is_refused(world: World, stamp: str) -> None:
    assert world.now_answer(signed("POST", "/apps/3/events", BODY, {"auth_timestamp": stamp})).status == 401


def test_K151_a_timestamp_beyond_every_calendar_is_refused(world: World) -> None:
    answer = world.now_answer(signed("POST", "/apps/3/events", BODY, {"auth_timestamp": "999999999999"}))
    assert text(answer).startswith("Timestamp expired: Given timestamp (999999999999)")


def test_K152_a_body_altered_after_signing_is_refused(world: World) -> None:
    answer = world.now_answer(raw(VECTOR, "POST", "/apps/3/events", BODY.replace(b"foo", b"bar")))
    assert answer.status == 401
    assert "body_md5" in text(answer)
    assert world.node.published == []


def test_K153_a_body_without_body_md5_is_refused(world: World) -> None:
    params = {"auth_key": KEY, "auth_timestamp": str(NOW), "auth_version": "1.0"}
    query = "&".join(f"{n}={v}" for n, v in params.items())
    query += "&auth_signature=" + sign(SECRET, "POST", "/apps/3/events", params)
    answer = world.now_answer(raw(query, "POST", "/apps/3/events", BODY))
    assert answer.status == 401
    assert text(answer) == "Missing required parameter: body_md5\n"


async def test_K154_a_get_with_the_md5_of_nothing_is_accepted(world: World) -> None:
    assert (await world.ask(get("/apps/3/channels", body_md5="d41d8cd98f00b204e9800998ecf8427e"))).status == 200


def test_K154_a_post_without_body_may_carry_the_md5_of_nothing(world: World) -> None:
    request = signed(
        "POST", "/apps/3/users/u/terminate_connections", params={"body_md5": "d41d8cd98f00b204e9800998ecf8427e"}
    )
    assert world.now_answer(request).status == 200


def test_K155_a_get_with_the_md5_of_something_is_refused(world: World) -> None:
    assert world.now_answer(get("/apps/3/channels", body_md5="5d41402abc4b2a76b9719d911017c592")).status == 401


@pytest.mark.parametrize("comma", ["%2C", "%2c", ","])
async def test_K156_a_comma_in_a_value_may_be_encoded_or_not(world: World, comma: str) -> None:
    request = get("/apps/3/channels/presence-a", info="user_count,subscription_count")
    request.query = request.query.replace("%2C", comma)
    assert (await world.ask(request)).status == 200


async def test_K156_a_plus_sign_is_a_space_in_a_value(world: World) -> None:
    request = signed("POST", "/apps/3/events", params={"name": "my event", "data": "x", "channel": "c"})
    assert "name=my+event" in request.query
    assert world.now_answer(request).status == 200
    assert world.node.published[0].event == "my event"


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ("%5B", "%5D")])
async def test_K157_a_php_array_is_signed_as_one_joined_value(world: World, left: str, right: str) -> None:
    request = get("/apps/3/channels/presence-a", info="user_count,subscription_count")
    array = f"info{left}0{right}=user_count&info{left}1{right}=subscription_count"
    request.query = request.query.replace("info=user_count%2Csubscription_count", array)
    assert b"subscription_count" in (await world.ask(request)).body


async def test_K157_an_array_signed_as_it_stands_is_accepted_too(world: World) -> None:
    request = get("/apps/3/channels/presence-a", **{"info[0]": "user_count", "info[1]": "subscription_count"})
    assert b"subscription_count" in (await world.ask(request)).body


AUTH = f"auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0"
BOTH = "user_count,subscription_count"  # in an order that is not the alphabet's


def signed_over(signed_query: str, sent_query: str, path: str = "/apps/3/channels/presence-a") -> ApiRequest:
    """Return a GET that sends one query and is signed over another text."""
    digest = hmac.new(SECRET.encode(), f"GET\n{path}\n{signed_query}".encode(), hashlib.sha256).hexdigest()
    return ApiRequest("GET", path, f"{AUTH}&{sent_query}&auth_signature={digest}", {}, b"", "203.0.113.9")


SENT = {
    "php": "info[0]=user_count&info[1]=subscription_count",
    "php, encoded": "info%5B0%5D=user_count&info%5B1%5D=subscription_count",
    "ruby, em-http": "info[]=user_count&info[]=subscription_count",
    "ruby, httpclient": "info=user_count&info=subscription_count",
    "hash": "info[b]=user_count&info[a]=subscription_count",
}
SIGNED = {
    "joined": f"{AUTH}&info={BOTH}",
    "ruby": f"{AUTH}&info[]=user_count&info[]=subscription_count",
    "repeated": f"{AUTH}&info=user_count&info=subscription_count",
}


FORMS = [
    *((signed_form, sent_form) for signed_form in ("joined", "ruby") for sent_form in SENT),
    ("repeated", "ruby, httpclient"),
]


@pytest.mark.parametrize(("signed_form", "sent_form"), FORMS)
async def test_K157_an_array_may_be_sent_in_one_form_and_signed_in_another(
    world: World, signed_form: str, sent_form: str
) -> None:
    world.node.stats["presence-a"] = ChannelStats(2, 1)
    answer = await world.ask(signed_over(SIGNED[signed_form], SENT[sent_form]))
    assert answer.body == b'{"occupied":true,"user_count":1,"subscription_count":2}'


async def test_K157_an_array_of_one_value_may_be_signed_with_brackets_and_sent_without(world: World) -> None:
    request = signed_over(f"{AUTH}&info[]=user_count", "info=user_count")
    assert (await world.ask(request)).body == b'{"occupied":false,"user_count":0}'


async def test_K157_arrays_are_signed_beside_other_parameters(world: World) -> None:
    query = f"{AUTH}&filter_by_prefix=presence-&info[]=user_count"
    request = signed_over(query, "info[]=user_count&filter_by_prefix=presence-", "/apps/3/channels")
    assert (await world.ask(request)).status == 200


async def test_parameters_may_be_signed_in_the_order_in_which_they_are_sent_as_rusts_sdk_does(world: World) -> None:
    query = "info=user_count&filter_by_prefix=presence-"
    assert (await world.ask(signed_over(f"{AUTH}&{query}", query, "/apps/3/channels"))).status == 200


@pytest.mark.parametrize("added", ["info[]=user_count", "info=user_count", "info[0]=user_count", "x[]=1"])
@pytest.mark.parametrize("before", [True, False])
def test_K157_an_added_value_of_an_array_breaks_the_signature(world: World, added: str, before: bool) -> None:
    query = "info=subscription_count"
    sent = f"{added}&{query}" if before else f"{query}&{added}"
    assert world.now_answer(signed_over(f"{AUTH}&{query}", sent)).status == 401


@pytest.mark.parametrize(
    "added", ["channels[0]=evil", "channels[]=evil", "channel[0]=evil", "name=evil", "data[]=evil"]
)
def test_L176_nothing_is_published_that_was_not_signed(world: World, added: str) -> None:
    request = signed("POST", "/apps/3/events", params={"name": "e", "data": "x", "channels": "a"})
    request.query = f"{added}&{request.query}"
    assert world.now_answer(request).status == 401
    assert world.node.published == []


@pytest.mark.parametrize(
    ("meant", "sent"),
    [
        ("filter_by_prefix=presence-&info=user_count", "filter_by_prefix=presence-%26info%3Duser_count"),
        ("filter_by_prefix=private-user=5", "filter_by_prefix%3Dprivate-user=5"),
        ("filter_by_prefix=a[=b", "filter_by_prefix%3Da[=b"),
        ("info[]=a&x[]=b", "info[]=a%26x[]%3Db"),
        ("x=a[1&filter_by_prefix=b]=c", "x%3Da[1%26filter_by_prefix%3Db]=c"),
    ],
)
def test_what_was_signed_is_not_accepted_as_other_parameters(world: World, meant: str, sent: str) -> None:
    answer = world.now_answer(signed_over(f"{AUTH}&{meant}", sent, "/apps/3/channels"))
    assert answer.status == 401
    assert answer.body.startswith(b"Ambiguous query")


async def test_a_value_may_hold_what_parts_parameters_where_it_is_clear(world: World) -> None:
    answer = await world.ask(signed("GET", "/apps/3/channels", params={"filter_by_prefix": "a=b&c"}))
    assert answer.status == 200


def test_L176_channels_signed_as_rubys_sdk_does_are_published_to(world: World) -> None:
    sent = f"{AUTH}&channels=b&channels=a&data=x&name=e"
    text = f"POST\n/apps/3/events\n{AUTH}&channels[]=b&channels[]=a&data=x&name=e"
    digest = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    request = ApiRequest("POST", "/apps/3/events", f"{sent}&auth_signature={digest}", {}, b"", "203.0.113.9")
    assert world.now_answer(request).status == 200
    assert world.node.published[0].channels == ("b", "a")


@pytest.mark.parametrize("sent", ["presence-a=@,.;", quote("presence-a=@,.;", safe="")])
async def test_K158_special_characters_of_a_channel_may_be_encoded_on_the_wire(world: World, sent: str) -> None:
    request = signed("GET", "/apps/3/channels/presence-a=@,.;", sent_path=f"/apps/3/channels/{sent}")
    assert (await world.ask(request)).status == 200


async def test_K158_a_path_signed_in_its_encoded_form_is_accepted(world: World) -> None:
    assert (await world.ask(get("/apps/3/channels/presence-a%2Cb"))).status == 200


def test_K159_names_of_parameters_are_signed_in_lower_case(world: World) -> None:
    request = post(EVENT)
    request.query = request.query.replace("auth_key", "Auth_Key")
    assert world.now_answer(request).status == 200


def test_K160_the_key_of_another_app_is_refused(world: World) -> None:
    answer = world.now_answer(signed("POST", "/apps/3/events", BODY, key="otherkey", secret="othersecret"))
    assert answer.status == 401
    assert text(answer).startswith("Unknown auth_key")


def test_K160_an_unknown_key_is_refused(world: World) -> None:
    answer = world.now_answer(signed("POST", "/apps/3/events", BODY, key="nobody"))
    assert answer.status == 401
    assert text(answer).startswith("Unknown auth_key")


def test_K160_an_unknown_app_is_not_found(world: World) -> None:
    assert world.now_answer(post(EVENT, "/apps/99/events")).status == 404


def test_K160_every_key_of_an_app_may_sign(world: World) -> None:
    world.configure(keys=(*APP.keys, AppKey("second", b"more")))
    assert world.now_answer(signed("POST", "/apps/3/events", BODY, key="second", secret="more")).status == 200


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + "0", str.upper, lambda s: "é" + s[1:], lambda s: ""]
)
def test_K161_a_signature_of_another_form_is_refused(world: World, change: object) -> None:
    assert callable(change)
    name, _, given = post(EVENT).query.rpartition("auth_signature=")
    request = post(EVENT)
    request.query = f"{name}auth_signature={change(given)}"
    answer = world.now_answer(request)
    assert answer.status == 401
    assert text(answer).startswith(
        'Invalid signature: you should have sent HmacSHA256Hex("POST\\n/apps/3/events\\nauth_key='
    )


@pytest.mark.parametrize("bad", ["%ff%fe", "%00", "\udcff", "é", "%ED%A0%80", "a%0d%0ab"])
def test_K161_bytes_that_are_no_text_are_refused_without_a_crash(world: World, bad: str) -> None:
    for query in (f"auth_signature={bad}", f"x={bad}&auth_signature=1", f"{bad}=1&auth_signature=1"):
        base = f"auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0&{query}"
        for path in ("/apps/3/channels", f"/apps/3/channels/{bad}"):
            answer = world.now_answer(raw(base, path=path))
            assert answer.status == 401
            assert "\r" not in text(answer)
            assert "\x00" not in text(answer)
            assert text(answer).count("\n") == 1


def test_K161_an_error_shows_no_secret(world: World) -> None:
    answer = world.now_answer(signed("POST", "/apps/3/events", BODY, secret="wrong"))
    assert SECRET not in text(answer)


def test_K161_an_error_is_bounded_whatever_was_sent(world: World) -> None:
    answer = world.now_answer(signed("POST", "/apps/3/events", BODY, {"x": "y" * 50_000}, secret="wrong"))
    assert answer.status == 401
    assert len(answer.body) < 10_000


def test_K162_an_unsigned_request_is_refused(world: World) -> None:
    assert world.now_answer(raw("", "POST", "/apps/3/events", BODY)).status == 401


def test_K163_a_signature_over_the_path_without_the_prefix_is_accepted() -> None:
    assert World(prefix="/realtime").now_answer(post(EVENT)).status == 200


def test_K163_a_signature_over_the_path_with_the_prefix_is_accepted_as_php_makes_it() -> None:
    request = signed("POST", "/realtime/apps/3/events", BODY, sent_path="/apps/3/events")
    assert World(prefix="/realtime").now_answer(request).status == 200
    assert World(prefix="").now_answer(request).status == 401


def test_a_signature_for_another_method_is_refused(world: World) -> None:
    request = signed("GET", "/apps/3/events", BODY)
    request.method = "POST"
    assert world.now_answer(request).status == 401


def test_a_signature_does_not_cover_another_path(world: World) -> None:
    request = signed("GET", "/apps/3/channels/a", sent_path="/apps/3/channels/b")
    assert world.now_answer(request).status == 401


def test_an_added_parameter_breaks_the_signature(world: World) -> None:
    request = get("/apps/3/channels")
    request.query += "&filter_by_prefix=a"
    assert world.now_answer(request).status == 401


def test_hundreds_of_parameters_are_refused_before_any_work(world: World) -> None:
    assert world.now_answer(raw("&".join(["a=1"] * 301))).status == 400


def test_a_disabled_app_is_refused_to_its_own_key_only(world: World) -> None:
    world.configure(enabled=False)
    assert world.now_answer(post(EVENT)).status == 403
    assert world.now_answer(raw("", "POST", "/apps/3/events", BODY)).status == 401


# -- the short way, for queries as nearly every publish has them --

PATH = "/apps/3/events"
PARTS = ("auth_key", "auth_timestamp", "auth_version", "body_md5")


def usual_parts(body: bytes = BODY) -> list[str]:
    """Return the parameters of a publish, in the order in which they are signed."""
    values = (KEY, str(NOW), "1.0", hashlib.md5(body, usedforsecurity=False).hexdigest())
    return [f"{name}={value}" for name, value in zip(PARTS, values, strict=True)]


def with_signature(parts: list[str], at: int, secret: str = SECRET) -> str:
    """Return the query of these parameters, signed as they stand, with the signature at this place."""
    signature = hmac_hex(secret, f"POST\n{PATH}\n{'&'.join(parts)}")
    return "&".join([*parts[:at], f"auth_signature={signature}", *parts[at:]])


def hmac_hex(secret: str, signed_text: str) -> str:
    return hmac.new(secret.encode(), signed_text.encode(), "sha256").hexdigest()


def short_way(query: str, body: bytes = BODY, app: App = APP, now: float = NOW) -> bool:
    return is_signed_as_usual(raw(query, "POST", PATH, body), app, now)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_the_short_way_takes_the_usual_query_wherever_the_signature_stands(at: int) -> None:
    assert short_way(with_signature(usual_parts(), at))


@pytest.mark.parametrize("body", [b"", BODY], ids=["empty", "event"])
def test_the_short_way_takes_an_empty_body_like_any_other(body: bytes) -> None:
    assert short_way(with_signature(usual_parts(body), 4), body)


def test_the_short_way_leaves_another_body_to_the_long_way() -> None:
    assert not short_way(with_signature(usual_parts(), 4), BODY + b" ")


@pytest.mark.parametrize("shift", [-601, 601])
def test_the_short_way_leaves_an_old_timestamp_to_the_long_way(shift: int) -> None:
    assert not short_way(with_signature(usual_parts(), 4), now=NOW + shift)


@pytest.mark.parametrize("now", [NOW - 600.001, NOW - 600.0, NOW - 599.5, NOW + 600.0, NOW + 600.999, NOW + 601.0])
def test_a_timestamp_is_as_old_on_the_short_way_as_on_the_long_one(now: float) -> None:
    query = with_signature(usual_parts(), 4)
    accepted = authenticate(raw(query, "POST", PATH, BODY), APP, read_signed(query), now) is None
    assert short_way(query, now=now) == accepted


def test_the_short_way_leaves_another_secret_to_the_long_way() -> None:
    assert not short_way(with_signature(usual_parts(), 4, secret="other"))


@pytest.mark.parametrize("key", ["a%41", "a+b", "a&auth_key=b"])
def test_the_short_way_leaves_a_key_that_reads_differently_decoded_to_the_long_way(key: str) -> None:
    app = replace(APP, keys=(AppKey(key, SECRET.encode()),))
    parts = [f"auth_key={key}", *usual_parts()[1:]]
    assert not short_way(with_signature(parts, 4), app=app)


MUTATIONS = st.sampled_from(["&", "=", "%41", "+", "&a=b", "&auth_key=x", "&auth_signature=x", "1", "²", "é", "\udce9"])


CHANGES = st.tuples(st.integers(0, 400), st.integers(0, 3), MUTATIONS)  # where, how much is lost, what comes instead


def changed(query: str, change: tuple[int, int, str] | None) -> str:
    if change is None:
        return query
    position, lost, inserted = change
    position %= len(query) + 1
    return query[:position] + inserted + query[position + lost :]


@given(st.integers(0, 4), st.none() | CHANGES, st.none() | CHANGES)
def test_what_the_short_way_accepts_is_signed_by_all_rules(
    at: int, before_signing: tuple[int, int, str] | None, after_signing: tuple[int, int, str] | None
) -> None:
    parts = changed("&".join(usual_parts()), before_signing).split("&")
    if "\udce9" in "".join(parts):  # nobody can sign this
        parts = usual_parts()
    query = changed(with_signature(parts, at), after_signing)
    request = raw(query, "POST", PATH, BODY)
    if is_signed_as_usual(request, APP, NOW):
        read = read_signed(query)
        assert read.others == {}
        assert authenticate(request, APP, read, NOW) is None


@given(st.text(alphabet="auth_key=&1.0%+²\udce9", max_size=60))
def test_the_short_way_never_raises(query: str) -> None:
    assert not short_way(query)


def test_who_is_refused_the_short_way_is_told_why(world: World) -> None:
    answer = world.now_answer(raw(with_signature(usual_parts(), 4, secret="other"), "POST", PATH, BODY))
    assert answer.status == 401
    assert "Invalid signature: you should have sent HmacSHA256Hex(" in text(answer)
    assert world.node.published == []
