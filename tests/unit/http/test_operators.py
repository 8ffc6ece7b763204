"""Who gets ``/usage``: through the API, with requests as they come."""

import hashlib
from collections.abc import Mapping

import pytest

from sockudo_py.http.api import ApiRequest
from sockudo_py.http.operators import OperatorAccess
from sockudo_py.management.credentials.keys import Admin, AdminKeys
from tests.unit.http.support import World

KEY = "an-admin-key-of-some-length"


def keys(*, apps: tuple[str, ...] = ("*",), scopes: tuple[str, ...] = ("read",)) -> AdminKeys:
    digest = hashlib.sha256(KEY.encode()).digest()
    return AdminKeys(
        [Admin(b"\0" * 32, frozenset("*"), frozenset()), Admin(digest, frozenset(apps), frozenset(scopes))]
    )


async def status(
    access: OperatorAccess | None, remote: str = "127.0.0.1", headers: Mapping[str, str] | None = None
) -> int:
    world = World(operators=access)
    return (
        await world.ask(ApiRequest("GET", "/usage", "", {"host": "localhost", **(headers or {})}, b"", remote))
    ).status


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "::1%lo"])
async def test_this_machine_gets_it(remote: str) -> None:
    assert await status(OperatorAccess(), remote) == 200


@pytest.mark.parametrize(
    "remote", ["", "10.0.0.1", "192.0.2.1", "::ffff:10.0.0.1", "fe80::1", "128.0.0.1", "localhost"]
)
async def test_others_and_the_unix_socket_do_not(remote: str) -> None:
    assert await status(OperatorAccess(), remote) == 404


@pytest.mark.parametrize(
    "header",
    ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-x"],
)
@pytest.mark.parametrize("value", ["127.0.0.1", ""])
async def test_what_a_proxy_passed_on_is_somebody_elses(header: str, value: str) -> None:
    assert await status(OperatorAccess(), headers={header: value}) == 404


async def test_a_script_of_another_site_in_the_operators_browser_does_not_get_it() -> None:
    assert await status(OperatorAccess(), headers={"origin": "https://evil.example"}) == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:6001", "localhost.evil.example", "127.0.0.1.evil.example"]
)
async def test_a_page_whose_name_leads_to_this_machine_does_not_get_it(host: str) -> None:
    assert await status(OperatorAccess(), headers={"host": host}) == 404


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:6001", "sockudo.localhost", "127.0.0.1:6001", "[::1]:6001", "10.0.0.5", ""]
)
async def test_names_and_addresses_of_this_machine_are_an_operators(host: str) -> None:
    assert await status(OperatorAccess(), headers={"host": host}) == 200


async def test_behind_a_proxy_on_this_machine_that_is_trusted_nobody_gets_it_without_a_key() -> None:
    access = OperatorAccess(is_admin=keys().see_everything, behind_local_proxy=True)
    assert await status(access) == 404
    assert await status(access, headers={"x-forwarded-for": "127.0.0.1"}) == 404
    assert await status(access, headers={"authorization": f"Bearer {KEY}"}) == 200


@pytest.mark.parametrize(
    "headers",
    [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}, {"x-pulse-key": KEY}],
)
@pytest.mark.parametrize("remote", ["192.0.2.1", ""])
async def test_an_admin_key_gets_it_from_anywhere(headers: Mapping[str, str], remote: str) -> None:
    access = OperatorAccess(is_admin=keys().see_everything)
    assert (
        await status(access, remote, {**headers, "x-forwarded-for": "192.0.2.9", "origin": "https://a.example"}) == 200
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer "},
        {"authorization": ""},
        {"x-pulse-key": ""},
        {"x-pulse-key": "\udcff\udcfe"},
        {"x-pulse-key": hashlib.sha256(KEY.encode()).hexdigest()},
    ],
)
async def test_no_other_key_does(headers: Mapping[str, str]) -> None:
    assert await status(OperatorAccess(is_admin=keys().see_everything), "192.0.2.1", headers) == 404


@pytest.mark.parametrize("admin", [keys(apps=("1", "2")), keys(scopes=("write",)), AdminKeys([])])
async def test_a_key_for_some_apps_or_without_the_scope_does_not(admin: AdminKeys) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    assert await status(OperatorAccess(is_admin=admin.see_everything), "192.0.2.1", headers) == 404


async def test_it_can_be_open_to_everybody_or_to_nobody() -> None:
    forwarded = {"x-forwarded-for": "192.0.2.9"}
    assert await status(OperatorAccess(True, behind_local_proxy=True), "192.0.2.1", forwarded) == 200
    assert await status(OperatorAccess(False, is_admin=keys().see_everything), "127.0.0.1") == 404
    assert await status(None) == 404
