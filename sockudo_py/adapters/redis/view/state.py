"""What one node holds of a partition: its channels and users, whom they watch, and who left lately. Pure."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sockudo_py.adapters.envelopes import channel_topic, user_topic
from sockudo_py.adapters.redis.view.channels import Channel, Plan
from sockudo_py.adapters.redis.view.transitions import Entry, text
from sockudo_py.adapters.redis.view.users import User, UserPlan, Watched, WatchStep
from sockudo_py.protocol.source import Source


@dataclass(slots=True, eq=False)
class Batch:
    """What goes to Redis in one call. One is under way at a time."""

    number: int
    plans: list[Plan] = field(default_factory=list)
    users: list[UserPlan] = field(default_factory=list)
    watched: list[tuple[str, str]] = field(default_factory=list)  # app and user: whether they are signed in
    watches: list[WatchStep] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)  # topics to unsubscribe from afterwards


class Departures:
    """What this node left, so that it may be pending, and is not known to have been told, with whose step it was.

    Redis knows it too, unless it has forgotten: then it has to be told again. ``delay`` is the vacate delay; without
    one nothing is ever pending.
    """

    def __init__(self, delay: float, clock: Callable[[], float]) -> None:
        self._delay = delay
        self._clock = clock
        self._left: OrderedDict[Entry, tuple[float, Source | None, str]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, entry: Entry, source: Source | None, info: str = "null") -> None:
        """An entry has been made pending, or may have been."""
        if self._delay > 0:
            self._left[entry] = self._clock() + self._delay, source, info
            self._left.move_to_end(entry)

    def back(self, entry: Entry) -> None:
        """Who left has come back to this node."""
        self._left.pop(entry, None)

    def told(self, at: float) -> None:
        """Redis has told all that was due at a time of this node's clock."""
        while self._left:
            entry, (due, _, _) = next(iter(self._left.items()))
            if due > at:
                return
            del self._left[entry]

    def source(self, entry: Entry) -> Source | None:
        """Return whose step it was."""
        found = self._left.get(entry)
        return None if found is None else found[1]

    def clear(self) -> None:
        """Forget all of it."""
        self._left.clear()

    def by_channel(self) -> tuple[set[bytes], dict[bytes, dict[str, str]]]:
        """Return the channels that were left, and by channel the user_info of members that were."""
        channels: set[bytes] = set()
        members: dict[bytes, dict[str, str]] = {}
        for entry, (_, _, info) in self._left.items():
            parts = entry[1:].split(b"\0", 2)
            key = b"\0".join(parts[:2])
            if len(parts) == 2:
                channels.add(key)
            else:
                members.setdefault(key, {})[text(parts[2])] = info
        return channels, members


class State:
    """The channels and users of this node, by their keys; ``dirty`` are those with steps to ask Redis for."""

    def __init__(self, vacate_delay: float, clock: Callable[[], float]) -> None:
        self.channels: dict[bytes, Channel] = {}
        self.users: dict[bytes, User] = {}
        self.watched = Watched()
        self.departures = Departures(vacate_delay, clock)
        self.dirty: dict[Channel | User, None] = {}
        self.watching: deque[WatchStep] = deque()

    def channel(self, app_id: str, name: str) -> Channel:
        """Return a channel, which may be new."""
        key = channel_topic(app_id, name)[3:]
        found = self.channels.get(key)
        if found is None:
            found = self.channels[key] = Channel(app_id, name, key)
        return found

    def user(self, app_id: str, user_id: str) -> User:
        """Return a user, who may be new."""
        key = user_topic(app_id, user_id)[2:]
        found = self.users.get(key)
        if found is None:
            found = self.users[key] = User(app_id, user_id, key)
        return found

    def channel_of(self, key: bytes) -> Channel:
        """Return the channel of a key."""
        return self.channel(*names(key))

    def user_of(self, key: bytes) -> User:
        """Return the user of a key."""
        return self.user(*names(key))

    def topics(self) -> Iterator[bytes]:
        """Yield what is to be subscribed now, and take note that it is."""
        for channel in self.channels.values():
            channel.subscribed = bool(channel.own or channel.steps)
            if channel.subscribed:
                yield b"ch:" + channel.key
        for user in self.users.values():
            user.subscribed = True
            yield b"u:" + user.key
        for app_id, user_id in self.watched:
            yield b"w:" + user_topic(app_id, user_id)[2:]

    def forget_channel(self, channel: Channel) -> bytes | None:
        """Forget a channel without subscribers here; return the topic to unsubscribe from."""
        if channel.own or channel.steps:
            return None
        topic = None
        if channel.subscribed:
            channel.subscribed = False
            channel.roster = None
            topic = b"ch:" + channel.key
        if not channel.told and self.channels.get(channel.key) is channel:
            del self.channels[channel.key]
        return topic

    def forget_user(self, user: User) -> bytes | None:
        """Forget a user who is not signed in here; return the topic to unsubscribe from."""
        if user.own or user.steps or self.users.get(user.key) is not user:
            return None
        del self.users[user.key]
        return b"u:" + user.key if user.subscribed else None

    def renamed(self) -> None:
        """Believe nothing: other nodes have taken this one out."""
        self.departures.clear()
        for channel in self.channels.values():
            channel.told = 0
            channel.told_users.clear()


def names(key: bytes) -> tuple[str, str]:
    """Return the app and the channel or user of a key."""
    app, _, name = key.partition(b"\0")
    return text(app), text(name)
