"""Every envelope comes out of its text as it went in, and nothing else makes trouble."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.adapters.base import (
    CountChanged,
    Envelope,
    MemberCame,
    MemberWent,
    Publication,
    UserMessage,
    UserStatus,
    UserTermination,
)
from sockudo_py.adapters.envelopes import (
    BadEnvelope,
    channel_topic,
    decode,
    encode,
    origin,
    user_topic,
    watch_topic,
)

ANYTHING = st.text(st.characters())  # with lone surrogates and NUL, as user ids may have them
NAMES = st.text(st.characters(exclude_characters="\0"), min_size=1)
SOCKETS = st.none() | st.from_regex(r"\A[0-9]{1,10}\.[0-9]{1,10}\Z") | NAMES
NODES = st.from_regex(r"\A[0-9a-f]{8}\Z")
ENVELOPES: st.SearchStrategy[Envelope] = st.one_of(
    st.builds(Publication, NAMES, NAMES, st.binary(), SOCKETS),
    st.builds(UserMessage, NAMES, ANYTHING, st.binary(), SOCKETS),
    st.builds(UserTermination, NAMES, ANYTHING, st.booleans()),
    st.builds(UserStatus, NAMES, ANYTHING, st.booleans()),
    st.builds(MemberCame, NAMES, NAMES, ANYTHING, ANYTHING),
    st.builds(MemberWent, NAMES, NAMES, ANYTHING),
    st.builds(CountChanged, NAMES, NAMES, st.integers(0, 10**15 - 1)),
)


@given(ENVELOPES, NODES)
def test_an_envelope_comes_out_as_it_went_in(envelope: Envelope, node: str) -> None:
    topic, payload = encode(envelope, node)
    assert decode(topic, payload) == envelope
    assert origin(payload) == node


@given(st.binary() | st.sampled_from([b"ch:1\0c", b"u:1\0u", b"w:1\0u", b"to:0badcafe"]), st.binary())
def test_other_texts_are_bad_envelopes_and_nothing_worse(topic: bytes, payload: bytes) -> None:
    try:
        envelope = decode(topic, payload)
    except BadEnvelope:
        return
    assert decode(*encode(envelope, "0badcafe")) == envelope


@given(ENVELOPES, st.data())
def test_a_text_that_is_cut_off_or_spoiled_is_never_taken_for_another_channel_or_user(
    envelope: Envelope, data: st.DataObject
) -> None:
    topic, payload = encode(envelope, "0badcafe")
    cut = data.draw(st.integers(0, len(payload)))
    try:
        found = decode(topic, payload[:cut] + data.draw(st.binary(max_size=3)))
    except BadEnvelope:
        return
    assert encode(found, "0badcafe")[0] == topic


@pytest.mark.parametrize(
    ("envelope", "topic", "payload"),
    [
        (Publication("3", "c", b"{}", "12.34"), b"ch:3\0c", b"p0badcafe5:12.34{}"),
        (Publication("3", "c", b"{}"), b"ch:3\0c", b"p0badcafe0:{}"),
        (UserMessage("3", "u:1", b"{}", "1.2"), b"u:3\0u:1", b"p0badcafe3:1.2{}"),
        (MemberCame("3", "presence-c", "\xe9", '{"a":1}'), b"ch:3\0presence-c", b'+0badcafe2:\xc3\xa9{"a":1}'),
        (MemberWent("3", "presence-c", "a"), b"ch:3\0presence-c", b"-0badcafea"),
        (CountChanged("3", "c", 17), b"ch:3\0c", b"c0badcafe17"),
        (UserTermination("3", "a"), b"u:3\0a", b"t0badcafe"),
        (UserTermination("3", "a", True), b"u:3\0a", b"f0badcafe"),
        (UserStatus("3", "a", True), b"w:3\0a", b"y0badcafe"),
        (UserStatus("3", "a", False), b"w:3\0a", b"n0badcafe"),
    ],
)
def test_the_text_is_the_one_that_scripts_and_other_versions_know(
    envelope: Envelope, topic: bytes, payload: bytes
) -> None:
    assert encode(envelope, "0badcafe") == (topic, payload)


def test_topics_are_those_that_a_node_subscribes_to() -> None:
    assert channel_topic("3", "c") == encode(CountChanged("3", "c", 1), "0badcafe")[0]
    assert user_topic("3", "a") == encode(UserTermination("3", "a"), "0badcafe")[0]
    assert watch_topic("3", "a") == encode(UserStatus("3", "a", True), "0badcafe")[0]
