"""What one node knows of a channel, the operations that its steps ask Redis for, and what the answers mean. Pure.

Steps wait in the order in which they came. A batch takes the steps of some channels, and the node tells Redis how many
subscriptions and which members it has *afterwards*, never plus or minus one: so an operation may be repeated.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sockudo_py.adapters.base import (
    ChannelFull,
    CountChanged,
    Envelope,
    JoinDone,
    Joined,
    LeaveDone,
    Left,
    MemberCame,
    MemberWent,
)
from sockudo_py.adapters.redis.view.transitions import Entry, text
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

Words = list[bytes | str | int]


@dataclass(slots=True, eq=False)
class Step:
    """One join or leave that has not been answered. ``asked`` is the time at which it came, in seconds."""

    source: Source
    member: Member | None
    asked: float
    joined: JoinDone | None = None
    left: LeaveDone | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Had:
    """What Redis has of this node, at a registration: subscriptions of a channel, and the users that are members of it.

    ``lost``: Redis has forgotten its state. ``left``: this node left the channel, and that is not known to have been
    told; ``gone``: user_info by user id of members that left so.
    """

    count: int = 0
    users: Collection[str] = ()
    lost: bool = False
    left: bool = False
    gone: Mapping[str, str] = field(default_factory=dict)


class Channel:
    """One channel of this node.

    ``own`` counts the joins that were answered, ``told`` is what the node believes that Redis has. They differ while a
    change is under way, and after Redis or this node has been away.
    """

    __slots__ = (
        "app_id", "key", "members", "name", "own", "roster", "shown", "steps", "subscribed", "tell", "told",
        "told_users", "total", "verify",
    )  # fmt: skip

    def __init__(self, app_id: str, name: str, key: bytes) -> None:
        self.app_id = app_id
        self.name = name
        self.key = key
        self.own = 0
        self.told = 0
        self.total = 0
        self.tell = False  # other nodes get the new counts
        self.steps: deque[Step] = deque()
        self.subscribed = False
        self.members: dict[str, int] = {}  # connections here, by user id
        self.shown: dict[str, tuple[str, str]] = {}  # socket and user_info of a user's first connection here
        self.told_users: set[str] = set()
        self.roster: dict[str, str] | None = None  # of the whole cluster, kept while the node is subscribed
        self.verify = False  # compare the roster again

    @property
    def entry(self) -> Entry:
        """The channel as pending lists name it."""
        return b"c" + self.key

    def entry_of(self, user_id: str) -> Entry:
        """A member as pending lists name it."""
        return b"m%b\0%b" % (self.key, user_id.encode("utf-8", "surrogatepass"))

    def count_out(self, user_id: str) -> bool:
        """Count a member's connection out; return whether the user has none here any more."""
        self.members[user_id] -= 1
        if self.members[user_id]:
            return False
        del self.members[user_id], self.shown[user_id]
        return True


@dataclass(slots=True, eq=False)
class _MemberStep:
    """A user's first join or last leave here, as one operation. ``fate`` is its answer."""

    user_id: str
    joins: int = 0
    fate: int = 0


@dataclass(slots=True, eq=False)
class Plan:
    """What a batch does about one channel, and how its answers are read."""

    channel: Channel
    steps: list[Step]
    registering: bool
    operations: list[Words] = field(default_factory=list)
    leaves_nobody: bool = False  # unless a join is refused or more steps come
    came: Source | None = None
    went: Source | None = None
    sources: dict[str, Source] = field(default_factory=dict)  # by user id
    removed: list[tuple[str, str]] = field(default_factory=list)  # users without a connection here now, and their info
    _roster: bool = False
    _mended: list[tuple[str, bool]] = field(default_factory=list)
    _crossings: list[_MemberStep] = field(default_factory=list)
    _of_step: dict[Step, _MemberStep] = field(default_factory=dict)
    _aim: int = 0

    def answered(self, answers: Iterator[Any], deliver: Callable[[Envelope], None], only_came: bool) -> None:
        """Take the answers of this plan's operations, and answer its steps.

        ``only_came``: Redis may not know all members yet, so nobody is said to have gone.
        """
        channel = self.channel
        fetched = pairs(next(answers)) if self._roster else None
        base = None if fetched is None else roster_of(fetched)
        for user_id, present in self._mended:
            last = int(next(answers)) > 0
            if base is None:
                continue
            if present:
                base.setdefault(user_id, channel.shown[user_id][1])
            elif last:  # else another node has the user, too
                base.pop(user_id, None)
        for crossing in self._crossings:
            crossing.fate = next(answers)
        total = int(next(answers))
        if base is not None:
            self._compare(base, deliver, only_came)
        refused = sum(crossing.joins for crossing in self._crossings if crossing.fate < 0)
        aim = self._aim - refused
        changed = channel.total != total
        channel.total = total
        channel.told = aim
        if self.registering and channel.tell and changed and channel.own:
            deliver(CountChanged(channel.app_id, channel.name, total))
        for step in self.steps:
            self._answer(step, total - aim)
        for user_id in [one.user_id for one in self._crossings] + [user_id for user_id, _ in self._mended]:
            if user_id in channel.members:
                channel.told_users.add(user_id)
            else:
                channel.told_users.discard(user_id)
        if not channel.subscribed:
            channel.roster = None

    def _compare(self, base: dict[str, str], deliver: Callable[[Envelope], None], only_came: bool) -> None:
        channel, before = self.channel, self.channel.roster
        if before is not None:
            for user_id in [user_id for user_id in before if user_id not in base]:
                if only_came:
                    base[user_id] = before[user_id]
                    channel.verify = True
                else:
                    deliver(MemberWent(channel.app_id, channel.name, user_id))
            for user_id, info in base.items():
                if user_id not in before:
                    deliver(MemberCame(channel.app_id, channel.name, user_id, info))
        channel.roster = base

    def _answer(self, step: Step, others: int) -> None:
        channel, member = self.channel, step.member
        crossing = self._of_step.get(step)
        if step.joined is not None:
            if crossing is not None and crossing.fate < 0:
                step.joined(ChannelFull(step.limit))
                return
            first = False
            if member is not None:
                user_id = member.user_id
                here = channel.members.get(user_id, 0)
                channel.members[user_id] = here + 1
                if here == 0:
                    channel.shown[user_id] = (step.source.socket_id, member.user_info)
                    first = crossing is not None and crossing.fate > 0
                    if channel.roster is not None and user_id not in channel.roster:
                        channel.roster[user_id] = member.user_info
            channel.own += 1
            step.joined(Joined(others + channel.own, first, None if member is None else channel.roster))
        elif step.left is not None:
            last = False
            if member is not None:
                if channel.count_out(member.user_id):
                    self.removed.append((member.user_id, member.user_info))
                    last = crossing is not None and crossing.fate > 0
                if last and channel.roster is not None:
                    channel.roster.pop(member.user_id, None)
            channel.own -= 1
            step.left(Left(others + channel.own, last))


def plan(channel: Channel, most: int, had: Had | None) -> Plan:
    """Return what to ask Redis about a channel: at most ``most`` of its steps, which are taken out.

    ``had`` is given while the node registers: then everything is compared.
    """
    steps = [channel.steps.popleft() for _ in range(min(most, len(channel.steps)))]
    made = Plan(channel, steps, had is not None)
    presence = bool(channel.members) or any(step.member is not None for step in steps)
    aim = channel.own + sum(1 if step.joined is not None else -1 for step in steps)
    wanted = aim > 0 or any(step.joined is not None for step in steps)
    if presence and wanted and (channel.roster is None or had is not None or channel.verify):
        made._roster = True
        made.operations.append(["g", channel.key])
        channel.verify = False
    if had is not None:
        _mend(made, had)
    _cross(made, had)
    was = channel.told
    if had is not None and had.count and not was:
        # Not believed so far: a join whose answer was lost, or what this node left lately, or a ghost.
        retried = any(step.joined is not None for step in steps)
        was = had.count if retried or had.left else 0
    elif had is not None and had.lost and not was and had.left:
        was = 1  # it was pending, and Redis has forgotten that
    made._aim = aim
    # What is mended is told: a channel that only Redis knew has nobody here who could say whether others want it.
    made.operations.append(["c", channel.key, aim, was, 1 if channel.tell or had is not None else 0])
    made.leaves_nobody = aim == 0
    for step in steps:
        if step.joined is None:
            made.went = step.source
        elif made.came is None:
            made.came = step.source
    return made


def _mend(made: Plan, had: Had) -> None:
    """Bring the members in Redis to what this node has, its waiting steps left aside."""
    channel = made.channel
    joining, leaving = set(), set()
    here = dict(channel.members)
    for step in made.steps:
        if step.member is None:
            continue
        user_id = step.member.user_id
        if step.joined is not None:
            joining.add(user_id)
            here[user_id] = here.get(user_id, 0) + 1
            continue
        here[user_id] -= 1
        if not here[user_id]:
            leaving.add(user_id)  # its own operation says so, and whether Redis knew of it
    for user_id, (socket, info) in channel.shown.items():
        if user_id not in had.users and user_id not in leaving:
            was = 1 if user_id in channel.told_users else 0
            made.operations.append(_member(channel, user_id, 1, was, socket, info, "", 0))
            made._mended.append((user_id, True))
    absent = set(had.users) - joining
    if had.lost:  # also those who come back now: when they are refused, it stays told that they went
        absent |= set(had.gone) - set(had.users)
    for user_id in absent - channel.members.keys():
        was = 1 if user_id in channel.told_users or user_id in had.gone else 0
        made.operations.append(_member(channel, user_id, 0, was, "", had.gone.get(user_id, "null"), "", 0))
        made._mended.append((user_id, False))


def _cross(made: Plan, had: Had | None) -> None:
    """Make an operation of each first join and last leave of a user here. Joins behind a first one share its fate."""
    channel = made.channel
    here = dict(channel.members)
    joining: dict[str, tuple[_MemberStep, Words]] = {}
    crossed: set[str] = set()  # what Redis knows of them follows from the operations before
    for step in made.steps:
        member = step.member
        if member is None:
            continue
        user_id = member.user_id
        before = here.get(user_id, 0)
        here[user_id] = before + (1 if step.joined is not None else -1)
        if step.joined is not None and before > 0:
            if user_id in joining:
                crossing, words = joining[user_id]
                crossing.joins += 1
                words[-1] = crossing.joins
                made._of_step[step] = crossing
            continue
        if step.joined is None and before > 1:
            continue
        crossing = _MemberStep(user_id)
        if step.joined is not None:
            crossing.joins = 1
            known = user_id in channel.told_users
            if had is not None:
                known = known or user_id in had.users
            was = 1 if known and user_id not in crossed else 0
            words = _member(channel, user_id, 1, was, step.source.socket_id, member.user_info, step.limit, 1)
            joining[user_id] = crossing, words
        else:
            joining.pop(user_id, None)
            # It is not known after others had taken this node out: they have told of the removal.
            was = 1 if user_id in channel.told_users or user_id in crossed else 0
            info = channel.shown[user_id][1] if user_id in channel.shown else member.user_info
            words = _member(channel, user_id, 0, was, step.source.socket_id, info, "", 0)
        crossed.add(user_id)
        made.sources[user_id] = step.source
        made.operations.append(words)
        made._crossings.append(crossing)
        made._of_step[step] = crossing


def _member(
    channel: Channel, user_id: str, present: int, was: int, socket: str, info: str, limit: int | str, joins: int
) -> Words:
    user = user_id.encode("utf-8", "surrogatepass")
    return ["m", channel.key, user, present, was, socket, info.encode("utf-8", "surrogatepass"), limit, joins]


def pairs(answer: Any) -> dict[bytes, bytes]:
    """Return a hash as scripts answer it, a flat list, or as commands do."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def roster_of(fetched: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return user_info by user id, in the order in which the members came. What no node wrote is left out."""
    entries = [(*value.partition(b":"), user) for user, value in fetched.items()]
    known = sorted((int(order), user, info) for order, _, info, user in entries if order.isdigit())
    return {text(user): text(info) for _, user, info in known}
