"""The states of one client's subscription to one channel: a table of what can happen in each, and what follows.

The session carries the table out. A transcript in ``tests/golden`` walks each line of it, and
``tests/unit/protocol/test_subscription.py`` compares each line with what a session does.
"""

from collections.abc import Mapping
from typing import Final, Literal

from sockudo_py.protocol.effects import Member

State = Literal[
    "absent",  # the client is not on the channel
    "joining",  # a Join is under way
    "dropped",  # a Join is under way, and the client has unsubscribed (or is gone) since
    "changing",  # a Join is under way, and the client has come back as another member since
    "joined",
]
Event = Literal[
    "subscribe",  # while a Join is under way: as the member that this Join is for
    "subscribe as another",  # while a Join is under way: as another member
    "unsubscribe",
    "end",  # the connection ends; what is joined by then the node gives up
    "join done",
    "join refused",  # the channel has no room
    "join unavailable",  # the cluster can't carry it out
]
Answer = Literal[
    "nothing",
    "join",
    "leave",
    "leave, join",  # leave as the old member, join as the new one
    "confirm",
    "refuse",
    "exists",  # refuse, because there is a subscription already
]

TRANSITIONS: Final[Mapping[State, Mapping[Event, tuple[State, Answer]]]] = {
    "absent": {
        "subscribe": ("joining", "join"),
        "unsubscribe": ("absent", "nothing"),
    },
    "joining": {
        "subscribe": ("joining", "exists"),
        "subscribe as another": ("joining", "exists"),
        "unsubscribe": ("dropped", "nothing"),
        "end": ("dropped", "nothing"),
        "join done": ("joined", "confirm"),
        "join refused": ("absent", "refuse"),
        "join unavailable": ("absent", "refuse"),
    },
    "dropped": {
        "subscribe": ("joining", "nothing"),  # the Join that is under way will do
        "subscribe as another": ("changing", "nothing"),
        "unsubscribe": ("dropped", "nothing"),
        "end": ("dropped", "nothing"),
        "join done": ("absent", "leave"),
        "join refused": ("absent", "nothing"),
        "join unavailable": ("absent", "nothing"),
    },
    "changing": {
        "subscribe": ("changing", "exists"),
        "subscribe as another": ("changing", "exists"),
        "unsubscribe": ("dropped", "nothing"),
        "end": ("dropped", "nothing"),
        "join done": ("joining", "leave, join"),
        "join refused": ("joining", "join"),  # the other member may be there already, and need no room
        "join unavailable": ("absent", "refuse"),
    },
    "joined": {
        "subscribe": ("joined", "exists"),
        "unsubscribe": ("absent", "leave"),
    },
}


class Pending:
    """A Join whose outcome isn't known yet.

    Attributes:
        state: "joining", "dropped" or "changing".
        member: Whom the Join is for, on presence channels.
        wanted: As whom the client last subscribed, on presence channels.
    """

    __slots__ = ("member", "state", "wanted")

    def __init__(self, state: State, member: Member | None) -> None:
        self.state = state
        self.member = member
        self.wanted = member
