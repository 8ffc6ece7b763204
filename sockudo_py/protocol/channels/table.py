"""The classes of channels, known by the beginning of the name. A new class is one row."""

import re
from dataclasses import dataclass
from typing import Final

_NAME = re.compile(r"[A-Za-z0-9_\-=@,.;]+")


@dataclass(frozen=True, slots=True)
class ChannelClass:
    """What a channel is, as its name says."""

    kind: str  # "public", or the prefix without its last hyphen
    prefix: str
    private: bool = False  # subscribing needs a signature: all private and presence classes
    presence: bool = False  # has members
    encrypted: bool = False  # data is ciphertext
    cached: bool = False  # remembers its last event
    server_to_user: bool = False  # internal: for the connections of one signed-in user


PUBLIC: Final = ChannelClass("public", "")

# Longest first: the first prefix that fits decides.
CLASSES: Final = (
    ChannelClass("private-encrypted-cache", "private-encrypted-cache-", private=True, encrypted=True, cached=True),
    ChannelClass("private-encrypted", "private-encrypted-", private=True, encrypted=True),
    ChannelClass("server-to-user", "#server-to-user-", server_to_user=True),
    ChannelClass("presence-cache", "presence-cache-", private=True, presence=True, cached=True),
    ChannelClass("private-cache", "private-cache-", private=True, cached=True),
    ChannelClass("presence", "presence-", private=True, presence=True),
    ChannelClass("private", "private-", private=True),
    ChannelClass("cache", "cache-", cached=True),
)

_PREFIX = re.compile("|".join(row.prefix for row in CLASSES))  # the alternatives are tried in their order
_BY_PREFIX: Final = {row.prefix: row for row in CLASSES}
_PRIVATE: Final = tuple(row.prefix for row in reversed(CLASSES) if row.private)


def classify(name: str) -> ChannelClass:
    """Return the class of the channel with this name. ``my-cache-x`` is public: only the beginning counts."""
    found = _PREFIX.match(name)
    return PUBLIC if found is None else _BY_PREFIX[found[0]]


def is_private(name: str) -> bool:
    """Return ``classify(name).private`` in less time: client events need no more."""
    return name.startswith(_PRIVATE)


def valid_channel_name(name: str, max_length: int = 200) -> bool:
    """Return whether a channel can have this name; ``max_length`` is in characters, prefix included.

    ``#server-to-user-...`` is not such a name: who may use it checks for the class first.
    """
    return len(name) <= max_length and _NAME.fullmatch(name) is not None


def user_of(name: str) -> str | None:
    """Return whose internal channel this is, or None when it is another channel."""
    prefix = "#server-to-user-"
    return name[len(prefix) :] if name.startswith(prefix) else None
