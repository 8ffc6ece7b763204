"""Authentication to receivers, on the wire: OAuth2 tokens, client certificates, and what nobody may see."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme

from sockudo_py.endpoints import ClientCertificate, OAuth2
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Request
from sockudo_py.webhooks.targets.http.target import HttpTarget, default_ssl_context
from tests.support.receiver import Answer, Hang, Receiver

JSON = (("Content-Type", "application/json"),)


def granted(token: str, **more: Any) -> Answer:
    return Answer(200, json.dumps({"access_token": token, "token_type": "Bearer", **more}).encode(), JSON)


def oauth2(receiver: Receiver, path: str = "/token", **fields: Any) -> OAuth2:
    given = {"client_id": "us:er", "client_secret": "s3cr&t", **fields}
    return OAuth2(token_url=receiver.url(path), **given)


def request(receiver: Receiver, auth: OAuth2 | None = None, **fields: Any) -> Request:
    given = {"url": receiver.url(), "trusted": True, "timeout": 5.0, **fields}
    return Request(endpoint="wh_1", body=b"{}", headers=(("Content-Type", "application/json"),), oauth2=auth, **given)


@asynccontextmanager
async def target(**fields: Any) -> AsyncIterator[HttpTarget]:
    def make(**more: Any) -> HttpTarget:
        return HttpTarget(guard=AddressGuard(), trusted_guard=AddressGuard(allow_private=True), **more)

    made = make(tokens=make(response_bytes=65536), **fields)
    try:
        yield made
    finally:
        await made.close()


def bearers(receiver: Receiver) -> list[str]:
    return [one.headers["authorization"] for one in receiver.at("/hook")]


async def test_a_token_is_asked_for_once_and_goes_with_every_request() -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(granted("t1", expires_in=3600), path="/token")
        auth = oauth2(receiver, scope="hooks", audience="https://a.example")
        outcomes = await asyncio.gather(*(http.send(request(receiver, auth)) for _ in range(5)))
        assert all(isinstance(one, Delivered) for one in outcomes)
        assert bearers(receiver) == ["Bearer t1"] * 5
        [asked] = receiver.at("/token")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    user, password = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode().split(":")
    assert (user, password) == ("us%3Aer", "s3cr%26t")  # RFC 6749, 2.3.1
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["hooks"],
        "audience": ["https://a.example"],
    }


async def test_client_and_secret_may_stand_in_the_body() -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(granted("t1"), path="/token")
        await http.send(request(receiver, oauth2(receiver, client_auth="body")))
        [asked] = receiver.at("/token")
    assert "authorization" not in asked.headers
    fields = parse_qs(asked.body.decode())
    assert (fields["client_id"], fields["client_secret"]) == (["us:er"], ["s3cr&t"])


async def test_a_token_is_replaced_before_it_ends() -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(granted("t1", expires_in=1), granted("t2", expires_in=1000), path="/token")
        auth = oauth2(receiver)
        await http.send(request(receiver, auth))
        await asyncio.sleep(0.92)  # of the second, a tenth is left out
        await http.send(request(receiver, auth))
        assert bearers(receiver) == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(("answers", "status"), [([401, 200], None), ([401, 401, 401], 401), ([401, 500], 500)])
async def test_a_refused_token_is_replaced_once(answers: list[int], status: int | None) -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(granted("t1"), granted("t2"), granted("t3"), path="/token")
        receiver.script(*(Answer(code) for code in answers))
        outcome = await http.send(request(receiver, oauth2(receiver)))
        assert bearers(receiver) == ["Bearer t1", "Bearer t2"]
        if status is None:
            assert isinstance(outcome, Delivered)
        else:
            assert isinstance(outcome, Failure)
            assert outcome.status == status


async def test_without_oauth2_a_401_is_final_for_the_attempt() -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(Answer(401))
        assert isinstance(await http.send(request(receiver)), Failure)
        assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(401, b"secret text"), "answered 401"),
        (Answer(302, headers=(("Location", "/elsewhere"),)), "answered 302"),
        (Answer(500), "answered 500"),
        (Answer(200, b"<html>"), "is not JSON"),
        (Answer(200, b"[]"), "has no access_token"),
        (Answer(200, b'{"access_token":"a\\r\\nX: y"}'), "has no access_token"),
        (Answer(200, b'{"access_token":"a","token_type":"mac"}'), "other than Bearer"),
        (Answer(200, b'{"access_token":"' + b"a" * 70_000 + b'"}'), "is not JSON"),
    ],
)
async def test_a_token_url_that_gives_no_token_is_a_failure_of_class_auth(answer: Answer, said: str) -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(path="/token", then=answer)
        first = await http.send(request(receiver, oauth2(receiver)))
        again = await http.send(request(receiver, oauth2(receiver)))
        assert isinstance(first, Failure)
        assert first.error_class == "auth"
        assert said in first.message
        assert "secret" not in first.message
        assert first == again
        assert len(receiver.at("/token")) == 1  # not asked again at once
        assert receiver.at("/hook") == receiver.at("/elsewhere") == []


async def test_a_token_url_that_hangs_costs_no_more_than_the_timeout_of_the_request() -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(path="/token", then=Hang())
        async with asyncio.timeout(3):
            outcome = await http.send(request(receiver, oauth2(receiver), timeout=0.3))
        assert isinstance(outcome, Failure)
        assert outcome.error_class == "auth"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"])
async def test_the_token_url_of_a_stranger_is_under_the_guard(host: str) -> None:
    async with Receiver() as receiver, target() as http:
        auth = OAuth2(f"http://{host}:{receiver.port}/token", "id", "secret")
        outcome = await http.send(request(receiver, auth, trusted=False, url="https://example.com/"))
        assert isinstance(outcome, Failure)
        assert (outcome.error_class, outcome.message) == ("auth", "the token URL: address not allowed")
        assert receiver.received == []


async def test_no_secret_is_in_what_is_shown() -> None:
    async with Receiver() as receiver, target() as http:
        receiver.script(granted("t1"), path="/token")
        sent = request(receiver, oauth2(receiver))
        await http.send(sent)
        assert "s3cr&t" not in repr(sent)
        assert "Authorization" not in str(sent.headers)  # so history has no token


# -- client certificates


def made(folder: Path) -> tuple[trustme.CA, ssl.SSLContext, ClientCertificate]:
    """Return an authority, the context of a receiver that insists on certificates, and one for a client."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server)
    return authority, server, written(authority, folder, "client.example")


def written(authority: trustme.CA, folder: Path, name: str) -> ClientCertificate:
    issued = authority.issue_cert(name)
    cert, key = folder / "cert.pem", folder / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    return ClientCertificate(str(cert), str(key))


def trusting(authority: trustme.CA) -> Any:
    def make() -> ssl.SSLContext:
        context = default_ssl_context()
        authority.configure_trust(context)
        return context

    return make


async def outcome_of(http: HttpTarget, sent: Request) -> str:
    outcome: Outcome = await http.send(sent)
    return "delivered" if isinstance(outcome, Delivered) else outcome.error_class


async def test_a_client_certificate_goes_to_its_endpoint_and_to_no_other(tmp_path: Path) -> None:
    authority, context, certificate = made(tmp_path)
    async with Receiver(ssl_context=context) as receiver, target(make_tls=trusting(authority)) as http:
        assert await outcome_of(http, request(receiver, client_cert=certificate)) == "delivered"
        # The connection is kept, and the other endpoint is at the same host.
        assert await outcome_of(http, request(receiver)) in ("tls", "reset", "protocol")
        assert await outcome_of(http, request(receiver, client_cert=certificate)) == "delivered"
        assert len(receiver.received) == 2


async def test_a_renewed_certificate_is_used_for_new_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context, certificate = made(tmp_path)
    seen: list[Any] = []
    serve = Receiver._converse

    async def note(
        receiver: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        seen.append(writer.get_extra_info("peercert")["subjectAltName"][0][1])
        await serve(receiver, reader, writer, connection)

    monkeypatch.setattr(Receiver, "_converse", note)
    async with Receiver(ssl_context=context) as receiver, target(make_tls=trusting(authority)) as http:
        receiver.script(Answer(close=True), Answer(close=True))
        assert await outcome_of(http, request(receiver, client_cert=certificate)) == "delivered"
        await asyncio.sleep(0.01)  # so that the files' times differ
        written(authority, tmp_path, "renewed.example")
        assert await outcome_of(http, request(receiver, client_cert=certificate)) == "delivered"
    assert seen == ["client.example", "renewed.example"]


def spoil(certificate: ClientCertificate, content: str | None) -> None:
    path = Path(certificate.cert_path)
    path.unlink()
    if content is not None:
        path.write_text(content)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_files_that_cannot_be_read_are_a_tls_failure(tmp_path: Path, content: str | None) -> None:
    authority, context, certificate = made(tmp_path)
    spoil(certificate, content)
    async with Receiver(ssl_context=context) as receiver, target(make_tls=trusting(authority)) as http:
        outcome = await http.send(request(receiver, client_cert=certificate))
        assert isinstance(outcome, Failure)
        assert (outcome.error_class, outcome.message) == ("tls", "the client certificate can't be read")
