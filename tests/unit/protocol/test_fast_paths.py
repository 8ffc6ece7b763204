"""Fast paths of the protocol say what the general ones say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.protocol import codec
from sockudo_py.protocol.channels.table import CLASSES, classify, is_private

NAMES = st.builds(str.__add__, st.sampled_from(["", "my-", *(row.prefix for row in CLASSES)]), st.text(max_size=5))


@given(NAMES)
def test_whether_a_name_is_private_is_answered_as_its_class_answers_it(name: str) -> None:
    assert is_private(name) == classify(name).private


@given(st.text(), st.text(), st.text())
def test_an_event_put_together_from_parts_has_the_bytes_of_one_made_whole(name: str, data: str, channel: str) -> None:
    whole = codec.server_event(name, data, channel)
    assert codec.event(channel, codec.json_string(name), codec.json_string(data)) == whole
    assert json.loads(whole) == {"event": name, "data": data, "channel": channel}


@pytest.mark.parametrize("prefix", [row.prefix for row in CLASSES])
def test_a_prefix_that_lacks_its_last_character_is_not_of_its_class(prefix: str) -> None:
    assert classify(prefix[:-1]).prefix != prefix
