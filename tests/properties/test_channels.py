"""No name gets past the signature that its class needs."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from sockudo_py.protocol.channels import CLASSES, classify, user_of, valid_channel_name
from sockudo_py.protocol.effects import Join
from tests.unit.protocol.speak import KEY, SOCKET, auth_for, make_session, sign_in, subscribe, subscribe_signed

SIGNED = ["private-", "presence-"]
WORDS = ["private-", "presence-", "encrypted-", "cache-", "my-", "#server-to-user-", "x", "-", "Private-", "private"]

tails = st.text("abz09_-=@,.;", max_size=12) | st.lists(st.sampled_from(WORDS), max_size=4).map("".join)
names = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=5).map("".join) | st.text(max_size=20)
auths = st.sampled_from(
    [None, "", "x", ":", f"{KEY}:", f"{KEY}:{'0' * 64}", f"x{auth_for('private-a')}", auth_for("private-a-b-c-d")]
)


@given(st.sampled_from(SIGNED), tails, auths, st.sampled_from([None, "", '{"user_id":"1"}']))
def test_no_private_or_presence_name_is_joined_without_a_valid_signature(
    prefix: str, tail: str, auth: str | None, channel_data: str | None
) -> None:
    name = prefix + tail
    assume(auth != auth_for(name, channel_data))
    session = make_session()
    effects = session.receive(subscribe(name, auth=auth, channel_data=channel_data), 0.0)
    assert not any(isinstance(effect, Join) for effect in effects)
    assert not session.subscribed(name)


@given(names, auths)
def test_whatever_is_joined_without_a_signature_begins_with_neither_private_nor_presence(
    name: str, auth: str | None
) -> None:
    effects = make_session().receive(subscribe(name, auth=auth), 0.0)
    if any(isinstance(effect, Join) for effect in effects):
        assert not name.startswith(("private-", "presence-", "#"))
        assert re.fullmatch(r"[A-Za-z0-9_\-=@,.;]{1,200}", name)


@given(st.sampled_from(SIGNED), tails)
def test_with_a_valid_signature_every_valid_name_of_a_class_is_joined(prefix: str, tail: str) -> None:
    name = prefix + tail
    assume(valid_channel_name(name))
    (effect,) = make_session().receive(subscribe_signed(name, '{"user_id":"1"}'), 0.0)
    assert isinstance(effect, Join)
    assert effect.channel == name
    assert (effect.member is not None) == (prefix == "presence-")


@given(st.text("abyz09_=@,.;", min_size=1, max_size=5), st.sampled_from([row.prefix for row in CLASSES]), tails)
def test_a_prefix_anywhere_but_at_the_beginning_makes_no_class(start: str, prefix: str, tail: str) -> None:
    assume(not (start + "-").startswith("cache-"))
    assert classify(start + "-" + prefix + tail).kind == "public"


@given(names)
def test_the_class_of_a_name_is_that_of_its_longest_prefix(name: str) -> None:
    fitting = [row for row in CLASSES if name.startswith(row.prefix)]
    expected = max(fitting, key=lambda row: len(row.prefix)).kind if fitting else "public"
    assert classify(name).kind == expected


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_an_internal_channel_is_confirmed_to_its_own_user_only(asked: str, signed_in_as: str) -> None:
    session = make_session()
    name = f"#server-to-user-{asked}"
    assert user_of(name) == asked
    if session.receive(sign_in(f'{{"id":"{signed_in_as}"}}', SOCKET), 0.0):
        session.signed_in(signed_in_as, None)
    effects = session.receive(subscribe(name, auth=""), 0.0)
    assert not any(isinstance(effect, Join) for effect in effects)
    assert session.user_channel == (session.user_id == asked)
