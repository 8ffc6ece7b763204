"""Sessions of the dashboard: signed, ended, bound to an admin key."""

from sockudo_py.management.credentials.keys import Admin, AdminKeys
from sockudo_py.management.credentials.sessions import COOKIE, LOGIN_LINK_SECONDS, SESSION_SECONDS, Sessions

ANNA = Admin(b"a" * 32, frozenset({"*"}), frozenset({"read", "write"}), "anna")
BORIS = Admin(b"b" * 32, frozenset({"*"}), frozenset({"read"}), "boris")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def cookie(token: str) -> dict[str, str]:
    return {"cookie": f"other=1; {COOKIE}={token}"}


def test_a_session_is_found_by_its_cookie_on_every_node_until_it_ends() -> None:
    clock = Clock()
    session = Sessions(AdminKeys([ANNA, BORIS]), clock).begin(ANNA)
    elsewhere = Sessions(AdminKeys([BORIS, ANNA]), clock)
    found = elsewhere.find(cookie(session.token))
    assert found is not None
    assert found.admin is ANNA
    assert found.csrf == session.csrf
    clock.now += SESSION_SECONDS + 1
    assert elsewhere.find(cookie(session.token)) is None


def test_removing_the_key_ends_its_sessions() -> None:
    keys = AdminKeys([ANNA, BORIS])
    sessions = Sessions(keys, Clock())
    token = sessions.begin(ANNA).token
    keys.replace([BORIS])
    assert sessions.find(cookie(token)) is None


def test_logging_out_ends_it() -> None:
    sessions = Sessions(AdminKeys([ANNA]), Clock())
    token = sessions.begin(ANNA).token
    sessions.end(token)
    assert sessions.find(cookie(token)) is None


def test_no_other_token_counts() -> None:
    sessions = Sessions(AdminKeys([ANNA, BORIS]), Clock())
    token = sessions.begin(ANNA).token
    ident, expires, nonce, mac = token.split(".")
    for other in (
        "",
        "x",
        token[:-1] + ("0" if token[-1] != "0" else "1"),
        f"{BORIS.ident}.{expires}.{nonce}.{mac}",
        f"{ident}.{int(expires) + 1}.{nonce}.{mac}",
        f"{ident}.{expires}.{nonce}x.{mac}",
        f"{ident}.{expires}.{mac}",
        f"{ident}.\u0661.{nonce}.{mac}",
        token + "0" * 1000,
        sessions.login_link(ANNA),
    ):
        assert sessions.find(cookie(other)) is None, other
    assert sessions.find({}) is None


def test_a_login_link_counts_once_and_for_ten_minutes() -> None:
    clock = Clock()
    sessions = Sessions(AdminKeys([ANNA]), clock)
    first, second = sessions.login_link(ANNA), sessions.login_link(ANNA)
    assert sessions.use_link(first) is ANNA
    assert sessions.use_link(first) is None
    clock.now += LOGIN_LINK_SECONDS + 1
    assert sessions.use_link(second) is None
    assert sessions.use_link(sessions.begin(ANNA).token) is None
