"""How a node registers again after it lost its connection: it compares the state in Redis with its own. Pure."""

from collections import deque
from collections.abc import Mapping

from sockudo_py.adapters.base import Left
from sockudo_py.adapters.redis.view.channels import Channel, Had, Step, plan
from sockudo_py.adapters.redis.view.state import Batch, State
from sockudo_py.adapters.redis.view.transitions import text
from sockudo_py.adapters.redis.view.users import SignStep, User


class Registration:
    """Compares what this node has with what Redis has of it.

    Args:
        state: The state of this node.
        lost: Redis has forgotten its state of this node.
        inventory: What Redis has of this node, by field.
    """

    def __init__(self, state: State, lost: bool, inventory: Mapping[bytes, bytes]) -> None:
        self._state = state
        self._lost = lost
        self._counts: dict[bytes, int] = {}
        self._members: dict[bytes, set[str]] = {}
        self._signed_in: set[bytes] = set()
        for name, value in inventory.items():
            kind, key = name[:1], name[1:]
            if kind == b"c":
                self._counts[key] = int(value)
            elif kind == b"m":
                app, _, rest = key.partition(b"\0")
                channel, _, user = rest.partition(b"\0")
                self._members.setdefault(b"%b\0%b" % (app, channel), set()).add(text(user))
            else:
                self._signed_in.add(key)
        self._left: list[tuple[Channel, Step]] = []
        self._signed_out: list[SignStep] = []
        self._channels: deque[Channel] = deque()
        self._users: deque[User] = deque()
        self._watched: deque[tuple[str, str]] = deque()

    def settle(self, flight: Batch, executed: bool) -> None:
        """Say what became of the batch whose answer was lost.

        Its joins are asked again, which changes nothing where they were executed. The leaves of an executed one are
        done; they are answered at the end.
        """
        state = self._state
        for made in flight.plans:
            channel = made.channel
            state.channels.setdefault(channel.key, channel)
            again = made.steps
            if executed:
                again = [step for step in made.steps if step.joined is not None]
                for step in made.steps:
                    if step.left is not None:
                        self._settle_leave(channel, step)
                channel.told = self._counts.get(channel.key, 0)
                channel.told_users = set(self._members.get(channel.key, ()))
            channel.steps.extendleft(reversed(again))
        for each in flight.users:
            self._settle_user(each.user, each.steps, executed)
        for watch in reversed(flight.watches):  # they are counted when they are asked again
            state.watched.unwatch(watch.app_id, watch.user_ids)
            state.watching.appendleft(watch)

    def _settle_leave(self, channel: Channel, step: Step) -> None:
        departures = self._state.departures
        channel.own -= 1
        if step.member is not None and channel.count_out(step.member.user_id):
            departures.add(channel.entry_of(step.member.user_id), step.source, step.member.user_info)
        if not channel.own:
            departures.add(channel.entry, step.source)
        self._left.append((channel, step))

    def _settle_user(self, user: User, steps: list[SignStep], executed: bool) -> None:
        watched = self._state.watched
        self._state.users.setdefault(user.key, user)
        ins = [step for step in steps if step.signed_in is not None]
        outs = [step for step in steps if step.signed_in is None]
        for step in ins:  # they are counted as watchers when they are asked again
            watched.unwatch(user.app_id, step.watchlist)
        if executed:
            user.own -= len(outs)
            self._signed_out += outs
            user.steps.extendleft(reversed(ins))
            return
        for step in outs:
            watched.watch(user.app_id, step.watchlist)
        user.steps.extendleft(reversed(steps))

    def begin(self) -> None:
        """Begin to compare; ``settle`` was called before for what was under way."""
        state = self._state
        self._departed, self._departed_members = state.departures.by_channel()
        keys = dict.fromkeys((*state.channels, *self._counts, *self._members))
        if self._lost:
            keys.update(dict.fromkeys((*self._departed, *self._departed_members)))
        self._channels.extend(state.channel_of(key) for key in keys)
        self._users.extend(state.user_of(key) for key in dict.fromkeys((*state.users, *self._signed_in)))
        self._watched.extend(state.watched)

    def next_channels(self, batch: Batch, room: int) -> int:
        """Add the next channels to a batch; return how much room it has left."""
        while self._channels and room > 0:
            channel = self._channels.popleft()
            key = channel.key
            had = Had(
                self._counts.get(key, 0),
                self._members.get(key, ()),
                self._lost,
                key in self._departed,
                self._departed_members.get(key, {}),
            )
            made = plan(channel, room, had)
            batch.plans.append(made)
            room -= len(made.operations) + len(made.steps)
            if not channel.steps:
                self._state.dirty.pop(channel, None)
        return 0 if self._channels else room

    def next_user(self) -> tuple[User, bool] | None:
        """Return the next user, and whether Redis says that it is signed in here; None when there is none."""
        if not self._users:
            return None
        user = self._users.popleft()
        return user, user.key in self._signed_in

    def next_watched(self, room: int) -> list[tuple[str, str]]:
        """Return the next users that clients here watch."""
        return [self._watched.popleft() for _ in range(min(room, len(self._watched)))]

    def answer(self) -> None:
        """Answer the leaves that were carried out before the connection was lost."""
        left, self._left = self._left, []
        for channel, step in left:
            if step.left is not None:
                step.left(Left(channel.total, False))
        signed_out, self._signed_out = self._signed_out, []
        for out in signed_out:
            if out.signed_out is not None:
                out.signed_out(False)
