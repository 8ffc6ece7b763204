"""Links for tenants, and admin keys in files."""

import stat
from pathlib import Path

import pytest

from sockudo_py.errors import ConfigError
from sockudo_py.management.credentials.keys import SOCKET_OWNER, Admin, AdminKeys, new_key
from sockudo_py.management.links import LinkRoutes, Links
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Answer, Asked
from sockudo_py.stores.endpoints.memory import MemoryEndpoints
from sockudo_py.wiring.key_file import key_file
from tests.unit.management.bench import Apps, code

ANNA = Admin(b"a" * 32, frozenset({"*"}), frozenset({"read", "write"}), "anna")
BORIS = Admin(b"b" * 32, frozenset({"2"}), frozenset({"read"}), "boris")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("app", ["1", "a.b", "ü/ %", "x" * 200])
def test_a_link_lets_into_one_app_on_every_node_until_it_ends(app: str) -> None:
    clock = Clock()
    token, expires = Links(AdminKeys([ANNA]), clock).make(ANNA, app, "read", 60)
    elsewhere = Links(AdminKeys([BORIS, ANNA]), clock)
    found = elsewhere.find(bearer(token))
    assert found is not None
    assert (found.apps, found.scopes, found.name, found.link) == (
        frozenset({app}),
        frozenset({"read"}),
        "link of anna",
        True,
    )
    assert elsewhere.find({"x-pulse-key": token}) == found
    assert expires == 1_000_060
    clock.now += 60
    assert elsewhere.find(bearer(token)) is None


def test_without_its_key_a_link_counts_no_more_and_it_never_does_more_than_the_key() -> None:
    keys = AdminKeys([ANNA])
    links = Links(keys, Clock())
    token, _ = links.make(ANNA, "1", "write", 60)
    keys.replace([Admin(ANNA.sha256, frozenset({"1"}), frozenset({"read"}), "anna")])
    found = links.find(bearer(token))
    assert found is not None
    assert found.scopes == frozenset({"read"})
    keys.replace([Admin(ANNA.sha256, frozenset({"2"}), frozenset({"read"}), "anna")])
    assert links.find(bearer(token)) is None
    keys.replace([BORIS])
    assert links.find(bearer(token)) is None


def test_a_token_that_was_changed_lets_nobody_in() -> None:
    links = Links(AdminKeys([ANNA]), Clock())
    token, _ = links.make(ANNA, "1", "read", 60)
    parts = token.split(".")
    changed = [
        token.replace(".read.", ".write."),
        token.replace(parts[1], "9999999999"),
        ".".join([*parts[:3], "Mg", *parts[4:]]),
        token[:-1] + ("0" if token[-1] != "0" else "1"),
        token + ".",
        token + "\u00e9",
        "pl_",
        "pl_a.b.c.d.e.f",
        "pl_" + "." * 1000,
        "pl_" + "x" * 5000,
        "",
    ]
    assert [links.find(bearer(one)) for one in changed] == [None] * len(changed)


async def ask(router: Router, admin: Admin, **body: object) -> Answer:
    return await router.handle("POST", "/api/portal_links", Asked(admin, body=body))


async def test_who_may_make_links() -> None:
    store = MemoryEndpoints()
    links = Links(AdminKeys([ANNA, BORIS]), Clock())
    router = Router([LinkRoutes(links, Apps("1", "2"), store)])
    made = await ask(router, ANNA, app_id="1", scope="write", expires_s=60)
    assert made.status == 201
    link = links.find(bearer(made.document["token"]))
    assert link is not None
    assert (made.document["app_id"], made.document["expires_at"]) == ("1", "1970-01-12T13:47:40.000Z")
    assert (await ask(router, BORIS)).document["app_id"] == "2"
    assert code(await ask(router, BORIS, scope="write")) == (403, "forbidden")
    assert (await ask(router, BORIS, app_id="1")).status == 404
    assert (await ask(router, ANNA, app_id="nobody")).status == 404
    assert code(await ask(router, ANNA)) == (400, "app_id_required")
    assert code(await ask(router, link)) == (403, "forbidden")
    assert code(await ask(router, SOCKET_OWNER, app_id="1")) == (403, "forbidden")
    for body in ({"expires_s": 0}, {"expires_s": 86401}, {"scope": "all"}, {"x": 1}):
        assert (await ask(router, ANNA, app_id="1", **body)).status == 422
    lines = await store.audit(10)
    assert len(lines) == 2
    assert made.document["token"].encode() not in lines[1].line.text


def test_the_key_of_a_machine_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "admin-key"
    first = key_file(path, "webhooks.admin.key_file")
    assert (first.made, stat.S_IMODE(path.stat().st_mode)) == (True, 0o600)
    again = key_file(path, "webhooks.admin.key_file")
    assert (again.made, again.key) == (False, first.key)
    assert first.key not in repr(first)
    assert [one.name for one in path.parent.iterdir()] == ["admin-key"]
    assert AdminKeys([first.admin]).find(bearer(first.key)) == first.admin


def test_a_key_file_that_is_none_or_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    path.write_text(f"{new_key()}\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600 it"):
        key_file(path, "named")
    path.chmod(0o600)
    for text in ("", "short", "two words of a key that is long enough", "\x00" * 30):
        path.write_text(text)
        with pytest.raises(ConfigError, match="holds no key"):
            key_file(path, "named")
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="named: "):
        key_file(path, "named")
