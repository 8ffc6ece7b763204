import orjson
import pytest

from sockudo_py.changes import (
    CacheMissed,
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    ConnectionEstablished,
    ConnectionTerminated,
    MemberAdded,
    MemberRemoved,
    SubscriptionCountChanged,
)
from sockudo_py.webhooks.events import EVENT_NAMES, encode, event_of, member_data, pusher_style, shares

T = 1678886400000

# Change -> the event as the documentation of the base project shows it, and as hosted Pusher documents it.
EVENTS: list[tuple[Change, dict[str, object], dict[str, object]]] = [
    (
        ChannelOccupied("1", "chat-room-1"),
        {"name": "channel_occupied", "channel": "chat-room-1", "time_ms": T},
        {"name": "channel_occupied", "channel": "chat-room-1"},
    ),
    (
        ChannelVacated("1", "chat-room-1"),
        {"name": "channel_vacated", "channel": "chat-room-1", "time_ms": T},
        {"name": "channel_vacated", "channel": "chat-room-1"},
    ),
    (
        MemberAdded("1", "presence-lobby", "user-456", "1.2", '{"name":"Bob","avatar":"url"}'),
        {
            "name": "member_added",
            "channel": "presence-lobby",
            "user_id": "user-456",
            "socket_id": "1.2",
            "data": '{"user_id":"user-456","user_info":{"name":"Bob","avatar":"url"}}',
            "time_ms": T,
        },
        {"name": "member_added", "channel": "presence-lobby", "user_id": "user-456"},
    ),
    (
        MemberRemoved("1", "presence-lobby", "user-456", "1.2", '{"name":"Bob"}'),
        {
            "name": "member_removed",
            "channel": "presence-lobby",
            "user_id": "user-456",
            "socket_id": "1.2",
            "time_ms": T,
        },
        {"name": "member_removed", "channel": "presence-lobby", "user_id": "user-456"},
    ),
    (
        ClientEventSent("1", "private-room", "client-typing", '{"on":true}', "1.2"),
        {
            "name": "client_event",
            "channel": "private-room",
            "event": "client-typing",
            "data": '{"on":true}',
            "socket_id": "1.2",
            "time_ms": T,
        },
        {
            "name": "client_event",
            "channel": "private-room",
            "event": "client-typing",
            "data": '{"on":true}',
            "socket_id": "1.2",
        },
    ),
    (
        CacheMissed("1", "cache-x"),
        {"name": "cache_miss", "channel": "cache-x", "time_ms": T},
        {"name": "cache_miss", "channel": "cache-x"},
    ),
    (
        SubscriptionCountChanged("1", "c", 2),
        {"name": "subscription_count", "channel": "c", "subscription_count": 2, "time_ms": T},
        {"name": "subscription_count", "channel": "c", "subscription_count": 2},
    ),
    (
        ConnectionEstablished("1", "1.2"),
        {"name": "connection_established", "socket_id": "1.2", "time_ms": T},
        {"name": "connection_established", "socket_id": "1.2"},
    ),
    (
        ConnectionTerminated("1", "1.2"),
        {"name": "connection_terminated", "socket_id": "1.2", "time_ms": T},
        {"name": "connection_terminated", "socket_id": "1.2"},
    ),
]
IDS = [EVENT_NAMES[type(change)] for change, _, _ in EVENTS]


@pytest.mark.parametrize(("change", "full", "lean"), EVENTS, ids=IDS)
def test_n197_to_n204_an_event_has_the_documented_fields_in_the_documented_order(
    change: Change, full: dict[str, object], lean: dict[str, object]
) -> None:
    event = event_of(change, T)
    assert event == full
    assert list(event) == list(full)
    assert pusher_style(event) == lean


def test_every_change_has_a_row_in_this_table() -> None:
    assert sorted(IDS) == sorted(EVENT_NAMES.values())


def test_n202_a_client_event_of_a_presence_channel_names_the_user() -> None:
    event = event_of(ClientEventSent("1", "presence-room", "client-x", "{}", "1.2", "10"), T)
    assert event["user_id"] == "10"


def test_an_encoded_event_is_compact_json_in_utf8() -> None:
    text = encode(event_of(ClientEventSent("1", "private-r", "client-x", "✓ é", "1.2"), T))
    assert text.startswith(b'{"name":"client_event","channel":"private-r",')
    assert "✓ é".encode() in text


def test_text_that_is_no_unicode_does_not_stop_an_event() -> None:
    text = encode(event_of(ClientEventSent("1", "private-r", "client-x", "bad \ud800 half", "1.2"), T))
    assert orjson.loads(text)["data"] == "bad ? half"


def test_a_member_whose_id_is_no_unicode_does_not_stop_an_event() -> None:
    text = encode(event_of(MemberAdded("1", "presence-r", "a\udfff", "1.2"), T))
    assert orjson.loads(text)["user_id"] == "a?"


@pytest.mark.parametrize("user_info", [None, "null"])
def test_member_data_without_info_has_no_user_info(user_info: str | None) -> None:
    assert member_data("10", user_info) == '{"user_id":"10"}'


def test_member_data_keeps_the_info_as_it_was_given() -> None:
    assert member_data("10", '{"b":1.0,"a":"\\u00e9"}') == '{"user_id":"10","user_info":{"b":1.0,"a":"\\u00e9"}}'


@pytest.mark.parametrize(
    ("name", "channel", "shared"),
    [
        ("channel_occupied", "chat", True),
        ("channel_occupied", "private-chat", True),
        ("channel_occupied", "private-encrypted-chat", False),
        ("client_event", "private-encrypted-cache-chat", False),
        ("channel_occupied", "my-private-encrypted-chat", True),
        ("connection_established", None, False),
        ("connection_terminated", None, False),
        ("order.paid", None, True),
    ],
)
def test_n214_n215_events_that_break_a_receivers_sdk_never_share_a_request(
    name: str, channel: str | None, shared: bool
) -> None:
    assert shares(name, channel) is shared
