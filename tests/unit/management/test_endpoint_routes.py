"""The management routes that change endpoints: bodies, secrets, addresses, keys of other tenants."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sockudo_py.management.endpoints.editing import MOST_OF_AN_APP
from sockudo_py.webhooks.endpoints.profiles import signed_headers
from tests.unit.management.bench import NAMES, URL, Bench, code, key


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = await Bench().start()
    yield bench
    await bench.stop()


# -- bodies

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no target": ({"url": None}, "url"),
    "two targets": ({"lambda": {"function_name": "f"}}, "url"),
    "unknown": ({"urll": 1}, "urll"),
    "id": ({"id": 7}, "id"),
    "uid": ({"uid": "wh_mine"}, "uid"),
    "trusted": ({"trusted": True}, "trusted"),
    "previous secret": ({"previous_secret": "x" * 20}, "previous_secret"),
    "secret from the environment": ({"secret_env": "HOME"}, "secret_env"),
    "number as text": ({"max_in_flight": "10"}, "max_in_flight"),
    "flag as text": ({"enabled": "yes"}, "enabled"),
    "flag as number": ({"enabled": 1}, "enabled"),
    "flag in place of a number": ({"max_in_flight": True}, "max_in_flight"),
    "a fraction": ({"max_in_flight": 1.5}, "max_in_flight"),
    "nested": ({"retry": {"max_retries": "5"}}, "retry.max_retries"),
    "nested and unknown": ({"filter": {"channel": "x"}}, "filter.channel"),
    "text in place of a list": ({"event_types": "*"}, "event_types"),
    "null where there is none": ({"name": None}, "name"),
    "a short secret": ({"secret": "short"}, "secret"),
    "a secret that is a number": ({"secret": 12345678901234567890}, "secret"),
    "a header of ours": ({"headers": {"X-Pusher-Key": "x"}}, "headers"),
    "a line break in a header": ({"headers": {"X-A": "a\r\nHost: b"}}, "headers"),
    "an unknown profile": ({"profile": "nobody"}, "profile"),
    "a broken pattern": ({"filter": {"channel_pattern": "("}}, "filter.channel_pattern"),
    "no URL": ({"url": "example"}, "url"),
    "another scheme": ({"url": "file:///etc/passwd"}, "url"),
    "a password in the URL": ({"url": "https://a:b@public.example/"}, "url"),
    "both names of the events": ({"events": []}, "events"),
    "too long": ({"name": "x" * 201}, "name"),
    "a function that the operator has not allowed": ({"url": None, "lambda": {"function_name": "f"}}, ""),
}


@pytest.mark.parametrize(("fields", "named"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_refused_by_name_and_changes_nothing(
    bench: Bench, fields: dict[str, Any], named: str
) -> None:
    before = await bench.made()
    path = f"/api/webhooks/{before['uid']}"
    whole = {"url": URL, "event_types": ["*"], **fields}
    if fields.get("url", URL) is None:
        del whole["url"]
    for method, target, body in (("POST", "/apps/1/webhooks", whole), ("PUT", path, whole)):
        answer = await bench.ask(method, target, body)
        assert answer.status == 422, answer
        error = answer.document["error"]
        if named:
            assert error["fields"][0]["field"].startswith(named)
        assert "t0ken" not in json.dumps(error)
    if None not in fields.values() and "events" not in fields:
        assert (await bench.ask("PATCH", path, fields)).status == 422
    shown = (await bench.ask("GET", path)).document
    assert shown == {name: value for name, value in before.items() if name != "secret"}
    assert len((await bench.ask("GET", "/api/webhooks")).document["webhooks"]) == 1


async def test_a_patch_with_null_resets_and_one_with_an_unknown_null_is_refused(bench: Bench) -> None:
    path = f"/api/webhooks/{(await bench.made(name='x', max_in_flight=3))['uid']}"
    shown = (await bench.ask("PATCH", path, {"name": None, "max_in_flight": None, "profile": None})).document
    assert (shown["name"], shown["max_in_flight"], shown["profile"]) == ("", 8, "pusher")
    assert code(await bench.ask("PATCH", path, {"nam": None})) == (422, "unknown_field")
    assert (await bench.ask("PATCH", path, {"url": None})).status == 422
    assert (await bench.ask("PATCH", path, {})).status == 200


async def test_an_app_has_a_bounded_number_of_endpoints(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_OF_AN_APP == 1000
    monkeypatch.setattr("sockudo_py.management.endpoints.editing.MOST_OF_AN_APP", 2)
    for _ in range(2):
        await bench.made()
    answer = await bench.ask("POST", "/apps/1/webhooks", {"url": URL})
    assert code(answer) == (422, "too_many_webhooks")
    await bench.made(target="/apps/2/webhooks")


async def test_those_who_make_endpoints_at_once_do_not_exceed_the_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sockudo_py.management.endpoints.editing.MOST_OF_AN_APP", 3)
    body = {"url": URL, "app_id": "1"}
    answers = await asyncio.gather(*(bench.ask("POST", "/api/webhooks", body) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [422] * 9
    assert len(bench.registry.by_app("1")) == 3


async def test_what_is_said_of_a_secret_that_is_too_short_or_too_long(bench: Bench) -> None:
    for secret, text in (
        ("x" * 15, "must have 16 characters or more"),
        ("x" * 5000, "must not be longer than 4096 ch"),
    ):
        answer = await bench.ask("POST", "/api/webhooks", {"url": URL, "app_id": "1", "secret": secret})
        assert answer.document["error"]["message"].startswith(f"secret: {text}")


async def test_what_may_surprise_is_said_in_warnings(bench: Bench) -> None:
    made = await bench.made(url="https://nowhere.example/", event_types=[])
    assert made["warnings"] == [
        "url: the name of its host has no address at present",
        "event_types: none is listed, so nothing is sent; * is all",
    ]
    assert "warnings" not in await bench.made()
    bench.editor._sends = False
    assert "this server sends no webhooks" in (await bench.made())["warnings"][0]


# -- secrets


async def test_a_secret_is_shown_when_it_is_made_and_never_again(bench: Bench) -> None:
    made = await bench.made(profile="standard")
    secret = made["secret"]
    assert secret.startswith("whsec_")
    path = f"/api/webhooks/{made['uid']}"
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("PUT", {"url": URL, "profile": "standard"})):
        answer = await bench.ask(method, path, body)
        assert answer.status == 200
        assert secret not in json.dumps(answer.document)
        assert "secret" not in answer.document
    endpoint = bench.registry.by_uid(made["uid"])
    assert endpoint is not None
    assert [one.value for one in endpoint.secrets] == [secret]
    lines = json.dumps((await bench.ask("GET", "/api/webhooks/audit")).document)
    assert secret not in lines
    assert secret not in repr(endpoint)
    assert secret not in repr(bench.managed.document(made["uid"]))


async def test_an_own_secret_is_taken(bench: Bench) -> None:
    made = await bench.made(profile="irisx", secret="my-own-secret-of-mine")
    assert made["secret"] == "my-own-secret-of-mine"
    changed = await bench.ask("PATCH", f"/api/webhooks/{made['uid']}", {"secret": "another-secret-of-mine"})
    assert changed.document["secret"] == "another-secret-of-mine"
    answer = await bench.ask("POST", "/apps/1/webhooks", {"url": URL, "profile": "standard", "secret": "x" * 20})
    assert answer.status == 422


async def test_the_apps_secret_signs_pushers_profile_and_one_is_made_when_it_is_needed(bench: Bench) -> None:
    made = await bench.made()
    assert (made["secret"], made["signed_with"]) == (None, "app")
    path = f"/api/webhooks/{made['uid']}"
    assert code(await bench.ask("POST", f"{path}/rotate-secret")) == (409, "signed_with_app")
    changed = (await bench.ask("PATCH", path, {"profile": "realcast"})).document
    assert changed["secret"].startswith("whsec_")
    also = await bench.made(also_sign=["standard"])
    assert also["secret"].startswith("whsec_")


@pytest.mark.parametrize(
    ("profile", "header"), [("standard", "webhook-signature"), ("irisx", "X-IRISX-Signature-Previous")]
)
async def test_both_secrets_sign_until_the_grace_ends(bench: Bench, profile: str, header: str) -> None:
    made = await bench.made(profile=profile)
    path = f"/api/webhooks/{made['uid']}/rotate-secret"
    rotated = (await bench.ask("POST", path, {"grace_s": 100})).document
    assert rotated["secret"] not in (None, made["secret"])
    assert rotated["previous_secret_expires_at"] == "2027-01-15T08:01:40.000Z"
    endpoint = bench.registry.by_uid(made["uid"])
    assert endpoint is not None

    def signatures(now: float) -> list[str]:
        assert endpoint is not None
        headers = dict(signed_headers(endpoint, body=b"{}", body_id="b", delivery_id="d", attempt=1, now=now))
        return headers.get(header, "").split()

    assert len(signatures(bench.now)) == (2 if profile == "standard" else 1)
    assert len(signatures(bench.now + 101)) == (1 if profile == "standard" else 0)
    again = (await bench.ask("POST", path, {"grace_s": 0})).document
    assert again["previous_secret_expires_at"] is None
    endpoint = bench.registry.by_uid(made["uid"])
    assert endpoint is not None
    assert [one.value for one in endpoint.secrets] == [again["secret"]]
    for body in ({"grace_s": -1}, {"grace_s": "5"}, {"grace_s": 10**9}, {"secret": ""}, {"x": 1}):
        assert (await bench.ask("POST", path, body)).status == 422


async def test_old_secrets_are_bounded(bench: Bench) -> None:
    made = await bench.made(profile="standard")
    for _ in range(10):
        await bench.ask("POST", f"/api/webhooks/{made['uid']}/rotate-secret")
    document = bench.managed.document(made["uid"])
    assert document is not None
    assert len(document.secrets) == 4


# -- addresses

FORBIDDEN = [
    "http://127.0.0.1/",
    "http://localhost.:80/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://10.0.0.1/",
    "http://192.168.0.1:8080/",
    "http://100.64.0.1/",
    "http://metadata.google.internal/",
    "http://\u2460\u2461\u2466.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://intranet.example/",
    "http://INTRANET.example./",
    "http://mixed.example/",
    "http://six.example/",
]


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_no_endpoint_may_lead_to_addresses_that_are_forbidden(bench: Bench, url: str) -> None:
    made = await bench.made(profile="pusher")
    path = f"/api/webhooks/{made['uid']}"
    pulse = "https" + url.removeprefix("http")
    answers = [
        await bench.ask("POST", "/api/webhooks", {"url": url, "app_id": "1", "profile": "pusher"}),
        await bench.ask("PUT", path, {"url": url}),
        await bench.ask("PATCH", path, {"url": url}),
        await bench.ask("PUT", "/api/v1/projects/1", {"webhook_url": pulse}),
    ]
    for answer in answers:
        assert answer.status == 422, url
        error = answer.document["error"]
        if error["code"] != "blocked_address":  # then it was no URL to begin with
            assert (error["code"], [one["field"][-3:] for one in error["fields"]]) == ("invalid_field", ["url"])
        else:
            # The same words for all: whether there is anything at such an address can't be found out so.
            assert error["message"] == "url: address not allowed"
    assert (await bench.ask("GET", path)).document["url"] == URL
    assert bench.registry.by_uid(made["uid"]) is not None


async def test_a_name_that_leads_elsewhere_later_is_refused_at_the_test(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await bench.made(url="https://rebinding.example/")
    assert made["warnings"] == ["url: the name of its host has no address at present"]
    monkeypatch.setitem(NAMES, "rebinding.example", ["127.0.0.1"])
    answer = await bench.ask("POST", f"/api/webhooks/{made['uid']}/test")
    assert code(answer) == (422, "blocked_address")


async def test_https_where_the_profile_wants_it(bench: Bench) -> None:
    url = "http://public.example/"
    for target, profile in (("/api/webhooks", None), ("/apps/1/webhooks", "pulse")):
        body = {"url": url, "app_id": "1"} | ({"profile": profile} if profile else {})
        assert code(await bench.ask("POST", target, body)) == (422, "https_required")
    made = await bench.made(url=url)
    patched = await bench.ask("PATCH", f"/api/webhooks/{made['uid']}", {"profile": "pulse"})
    assert code(patched) == (422, "https_required")


# -- other tenants


async def test_a_key_of_another_app_reads_and_changes_nothing(bench: Bench) -> None:
    """Every route, with every id that there is, for the keys of another tenant."""
    mine = await bench.made(profile="irisx", name="mine")
    pulse = (await bench.ask("PUT", "/api/v1/projects/1", {"webhook_url": URL})).document["webhook"]
    await bench.made(key("2"), "/apps/2/webhooks", name="theirs")
    stranger = key("2", name="stranger")
    before = (await bench.store.load()).rows
    audit = len(await bench.store.audit(1000))
    words = [mine["uid"], str(mine["number"]), pulse["uid"], "1"]
    tried = 0
    for route in bench.router.routes:
        parts = route.pattern.split("/")
        if "{id}" not in parts and "{app}" not in parts:
            continue
        for word in words:
            for app in ("1", "2"):
                path = "/".join(word if part == "{id}" else app if part == "{app}" else part for part in parts)
                if "{app}" in parts and app == "2" and "{id}" not in parts:
                    continue  # their own app
                for body in ({}, {"url": URL}, {"webhook_url": URL}, {"app_id": "1", "url": URL}):
                    answer = await bench.ask(route.method, path, body, stranger)
                    tried += 1
                    text = json.dumps(answer.document)
                    assert answer.status in (404, 422), (route, path, answer)
                    assert "mine" not in text
                    assert mine["uid"] not in text or mine["uid"] == word
    assert tried > 300
    calls: tuple[tuple[str, str, dict[str, str] | None], ...] = (
        ("POST", "/api/webhooks", {"url": URL, "app_id": "1"}),
        ("GET", "/api/webhooks?app_id=1", None),
        ("GET", "/v1/webhooks?app_id=1", None),
        ("GET", "/api/webhooks/audit?app_id=1", None),
        ("GET", "/api/webhooks/queue/failed?app_id=1", None),
        ("POST", "/api/webhooks/queue/retry-failed", {"webhookId": mine["uid"]}),
        ("DELETE", f"/api/webhooks/queue/failed?webhookId={mine['uid']}", None),
    )
    for method, target, sent in calls:
        assert (await bench.ask(method, target, sent, stranger)).status == 404, target
    assert (await bench.store.load()).rows == before
    assert len(await bench.store.audit(1000)) == audit
    for target in ("/api/webhooks", "/v1/webhooks", "/api/webhooks/audit", "/api/webhooks/queue/stats"):
        answer = await bench.ask("GET", target, admin=stranger)
        assert answer.status == 200
        assert mine["uid"] not in json.dumps(answer.document)


async def test_the_owner_is_implied_by_a_key_of_one_app_and_asked_for_else(bench: Bench) -> None:
    body = {"url": URL}
    made = await bench.ask("POST", "/api/webhooks", body, key("2"))
    assert made.document["app_id"] == "2"
    for admin in (key("1", "2"), key("*")):
        assert code(await bench.ask("POST", "/api/webhooks", body, admin)) == (400, "app_id_required")
    assert (await bench.ask("POST", "/api/webhooks", {**body, "app_id": "1"}, key("1", "2"))).status == 201
    assert (await bench.ask("POST", "/api/webhooks", {**body, "app_id": "nobody"}, key("*"))).status == 404
    assert (await bench.ask("POST", "/apps/2/webhooks", {**body, "app_id": "1"}, key("1", "2"))).status == 404
    path = f"/api/webhooks/{made.document['uid']}"
    assert (await bench.ask("PATCH", path, {"app_id": "1"}, key("1", "2"))).status == 422
    assert (await bench.ask("PATCH", path, {"app_id": "1"}, key("2"))).status == 404
    assert (await bench.ask("PATCH", path, {"app_id": "2", "name": "x"}, key("2"))).status == 200


async def test_static_words_win_over_ids(bench: Bench) -> None:
    for target in ("/api/webhooks/queue/stats", "/api/webhooks/audit"):
        assert (await bench.ask("GET", target)).status == 200
    assert code(await bench.ask("DELETE", "/api/webhooks/audit")) == (405, "method_not_allowed")
