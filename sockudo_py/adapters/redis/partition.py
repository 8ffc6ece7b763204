"""One partition of the cluster's state, and the connection over which this node shares it.

Steps are gathered while a batch is under way and go into the next one. All that arrives is handled where it is read, in
the order in which Redis executed it: that alone keeps answers and news in their order.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Final

from sockudo_py.adapters.base import (
    CountChanged,
    Envelope,
    JoinDone,
    Joined,
    LeaveDone,
    Left,
    MemberCame,
    MemberWent,
    Message,
    SignInDone,
    SignOutDone,
    UserStatus,
)
from sockudo_py.adapters.envelopes import BadEnvelope, channel_topic, decode, encode, user_topic, watch_topic
from sockudo_py.adapters.redis.channels import Channel, Had, Plan, Step, Words, pairs, plan
from sockudo_py.adapters.redis.figures import Figures
from sockudo_py.adapters.redis.link import Link, Scripts
from sockudo_py.adapters.redis.transitions import Entry, Outbox, text
from sockudo_py.adapters.redis.users import SignStep, User, UserPlan, Watched, plan_user
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

_log = logging.getLogger(__name__)

STEPS_AT_MOST: Final = 300  # of a batch
_SWEEP_AT_ONCE: Final = 100  # entries that one beat takes apart
_REMEMBERED_LONGER: Final = 1.0  # seconds than the vacate delay: what this node made pending
_TOMBSTONE: Final = 1800.0  # seconds without Redis after which its tombstone of this node may be gone
_SOON: Final = 0.005  # seconds after something is due: then it is due in Redis, too
_JOINS_WAIT: Final = 5.0  # seconds for Redis, then plain channels are answered by what is known here
_MEMBERS_WAIT: Final = 30.0  # seconds for Redis, then presence joins and sign-ins are refused


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    vacate_delay: float
    node_timeout: float
    heartbeat: float


@dataclass(slots=True, eq=False)
class _Batch:
    number: int
    plans: list[Plan] = field(default_factory=list)
    users: list[UserPlan] = field(default_factory=list)
    watched: list[tuple[str, str]] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)  # topics that nobody here wants afterwards


@dataclass(slots=True)
class _Registration:
    """What is left to do until this node is one again."""

    lost: bool
    counts: dict[bytes, int]
    members: dict[bytes, set[str]]
    users: set[bytes]
    channels: deque[Channel]
    signed: deque[User]
    watched: deque[tuple[str, str]]
    outbox: dict[bytes, bytes]
    left: list[tuple[Channel, Step]] = field(default_factory=list)
    signed_out: list[SignStep] = field(default_factory=list)


class Partition:
    """See ``Adapter``; ``adapter.py`` puts the partitions together."""

    def __init__(
        self,
        link: Link,
        timing: Timing,
        figures: Figures,
        deliver: Callable[[Envelope], None],
        outbox: Callable[[Callable[[str], None]], Outbox],
    ) -> None:
        self._link = link
        self._timing = timing
        self._figures = figures
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self.node_id = secrets.token_hex(4)
        self.outbox = outbox(self._acknowledge)
        self._epoch = ""
        self._registered = False
        self._channels: dict[bytes, Channel] = {}
        self._users: dict[bytes, User] = {}
        self._watched = Watched()
        self._dirty: dict[Channel | User, None] = {}
        self._flight: _Batch | None = None
        self._registration: _Registration | None = None
        self._batches = 0
        self._scheduled = False
        self._left_lately: OrderedDict[Entry, tuple[float, Source | None]] = OrderedDict()
        self._hold_until = 0.0
        self._acks: list[str] = []
        self._acks_under_way = 0
        self._beating = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._settled_at = self._loop.time()  # the last time that Redis answered a beat or a registration
        self.shift_ms = 0  # of Redis' clock, for tests
        self.ready = False
        self.stopped = False
        self.counts_connections: Callable[[], Mapping[str, int]] = dict
        link.start(self)

    # -- steps --

    def join(
        self,
        app_id: str,
        name: str,
        source: Source,
        member: Member | None,
        max_members: int,
        tell_count: bool,
        done: JoinDone,
    ) -> None:
        """See ``Adapter.join``."""
        channel = self._channel(app_id, name)
        channel.tell = tell_count
        channel.steps.append(Step(source, member, self._loop.time(), joined=done, limit=max_members))
        self._mark(channel)

    def leave(
        self, app_id: str, name: str, source: Source, member: Member | None, tell_count: bool, done: LeaveDone
    ) -> None:
        """See ``Adapter.leave``."""
        channel = self._channel(app_id, name)
        channel.tell = tell_count
        channel.steps.append(Step(source, member, self._loop.time(), left=done))
        self._mark(channel)

    def sign_in(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignInDone) -> None:
        """See ``Adapter.sign_in``."""
        user = self._user(app_id, user_id)
        user.steps.append(SignStep(watchlist, self._loop.time(), signed_in=done))
        self._mark(user)

    def sign_out(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        """See ``Adapter.sign_out``."""
        user = self._user(app_id, user_id)
        user.steps.append(SignStep(watchlist, self._loop.time(), signed_out=done))
        self._mark(user)

    def publish(self, message: Message) -> None:
        """Send to the other nodes with somebody who wants it; lost, and counted, while Redis is away."""
        topic, payload = encode(message, self.node_id)
        if self._link.publish(topic, payload):
            self._figures.published += 1
        else:
            self._figures.publishes_lost += 1

    async def ask(self, *words: bytes | str | int) -> Any:
        """Return the answer to a query; the first key's name comes without the prefix. Raises Unavailable."""
        if not self.ready:
            raise Unavailable("the adapter's Redis is away")
        return await self._link.query(words)

    @property
    def settled(self) -> bool:
        """Whether no step waits for its answer."""
        return self._flight is None and not self._dirty and not (self._registration and self._registration.left)

    def _channel(self, app_id: str, name: str) -> Channel:
        key = channel_topic(app_id, name)[3:]
        found = self._channels.get(key)
        if found is None:
            found = self._channels[key] = Channel(app_id, name, key)
        return found

    def _user(self, app_id: str, user_id: str) -> User:
        key = user_topic(app_id, user_id)[2:]
        found = self._users.get(key)
        if found is None:
            found = self._users[key] = User(app_id, user_id, key)
        return found

    def _mark(self, what: Channel | User) -> None:
        self._dirty[what] = None
        self._schedule()

    def _schedule(self) -> None:
        if self.ready and self._flight is None and not self._scheduled and (self._dirty or self._acks):
            self._scheduled = True
            self._loop.call_soon(self._flush)

    # -- batches --

    def _flush(self) -> None:
        self._scheduled = False
        if not self.ready:
            return
        self._send_acks()
        if self._flight is not None or not self._dirty:
            return
        batch = self._new_batch()
        room = STEPS_AT_MOST
        while self._dirty and room > 0:
            what = next(iter(self._dirty))
            waiting = len(what.steps)
            if isinstance(what, Channel):
                batch.plans.append(plan(what, room, None))
            else:
                self._plan_user(batch, what, room, None)
            room -= max(1, waiting - len(what.steps))
            if not what.steps:
                del self._dirty[what]
        self._send(batch)

    def _new_batch(self) -> _Batch:
        self._batches += 1
        return _Batch(self._batches)

    def _plan_user(self, batch: _Batch, user: User, most: int, had: bool | None) -> None:
        made = plan_user(user, most, had)
        batch.users.append(made)
        for step in made.steps:
            if step.signed_in is not None:
                for watched in self._watched.watch(user.app_id, step.watchlist):
                    self._link.subscribe(watch_topic(user.app_id, watched))
                batch.watched += [(user.app_id, watched) for watched in step.watchlist]
            else:
                over = self._watched.unwatch(user.app_id, step.watchlist)
                batch.gone += [watch_topic(user.app_id, watched) for watched in over]

    def _send(self, batch: _Batch) -> None:
        """Write a batch: subscriptions first, so that nothing is missed that Redis publishes after its execution."""
        self._flight = batch
        operations: list[Words] = []
        for one in batch.plans:
            channel = one.channel
            if one.leaves_nobody and not channel.steps:
                if channel.subscribed:
                    channel.subscribed = False
                    batch.gone.append(b"ch:" + channel.key)
            elif not channel.subscribed:
                channel.subscribed = True
                self._link.subscribe(b"ch:" + channel.key)
            operations += one.operations
        for each in batch.users:
            user = each.user
            if each.leaves_nobody and not user.steps:
                if user.subscribed:
                    user.subscribed = False
                    batch.gone.append(b"u:" + user.key)
            elif not user.subscribed:
                user.subscribed = True
                self._link.subscribe(b"u:" + user.key)
            operations += each.operations
        operations += [["w", watch_topic(*watched)[2:]] for watched in batch.watched]
        words = list(chain.from_iterable(operations))
        started = self._loop.time()
        self._script("apply", [batch.number, *words], lambda answer: self._applied(batch, answer, started))
        for topic in batch.gone:
            self._link.unsubscribe(topic)

    def _applied(self, batch: _Batch, answer: Any, started: float) -> None:
        status, answers, events, hold = answer
        if status != b"OK":
            self._link.fail(_FENCED[status])
            return
        self._figures.batches += 1
        self._figures.batch_seconds += self._loop.time() - started
        self._held(hold)
        self._flight = None
        plans = {one.channel.key: one for one in batch.plans}
        self._tell(events, lambda entry, came: _step_of(plans, entry, came))
        rest = iter(answers)
        now, keep = self._loop.time(), self._timing.vacate_delay + _REMEMBERED_LONGER
        for one in batch.plans:
            channel = one.channel
            one.answered(rest, self._deliver, self._holding)
            if one.leaves_nobody and not channel.own and not channel.total and one.went is not None:
                self._remember(channel.entry, now + keep, one.went)
            for user_id in one.removed:
                self._remember(channel.entry_of(user_id), now + keep, one.sources.get(user_id))
            self._tidy(channel)
        for each in batch.users:
            each.took(rest)
        for (app_id, user_id), online in zip(batch.watched, rest, strict=True):
            self._news(self._watched.asked(app_id, user_id, bool(online)))
        for each in batch.users:
            each.rewind(self._watched)
        for each in batch.users:
            each.answer(self._watched)
            self._tidy_user(each.user)
        if self._registration is not None:
            self._register_on(self._registration)
        self._schedule()

    def _tidy(self, channel: Channel) -> None:
        """Forget a channel that nobody here is on; also one whose only join was refused."""
        if channel.own or channel.steps:
            return
        if channel.subscribed:
            channel.subscribed = False
            channel.roster = None
            self._link.unsubscribe(b"ch:" + channel.key)
        if channel.idle and self._channels.get(channel.key) is channel:
            del self._channels[channel.key]

    def _tidy_user(self, user: User) -> None:
        if not user.own and not user.steps and self._users.get(user.key) is user:
            if user.subscribed:
                self._link.unsubscribe(b"u:" + user.key)
            del self._users[user.key]

    def _remember(self, entry: Entry, until: float, source: Source | None) -> None:
        """This node made an entry pending, or so it may be: it names the source, and says so after a loss in Redis."""
        self._left_lately[entry] = until, source
        self._left_lately.move_to_end(entry)
        now = self._loop.time()
        while self._left_lately:
            first, (ends, _) = next(iter(self._left_lately.items()))
            if ends > now:
                break
            del self._left_lately[first]
        self._timer("due", self._timing.vacate_delay + _SOON, self.beat)

    def _was_left_lately(self, entry: Entry) -> bool:
        found = self._left_lately.get(entry)
        return found is not None and found[0] > self._loop.time()

    # -- transitions --

    def _tell(self, events: Sequence[bytes], source: Callable[[Entry, bool], Source | None]) -> None:
        for ident, data in zip(events[::2], events[1::2], strict=True):
            self._figures.transitions += 1
            self.outbox.tell(ident.decode(), data, source)

    def _whose(self, entry: Entry, came: bool) -> Source | None:
        return None if came else self._left_lately.get(entry, (0.0, None))[1]

    def _acknowledge(self, ident: str) -> None:
        self._acks.append(ident)
        if self._flight is None:
            self._schedule()
        elif self.ready and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _send_acks(self) -> None:
        while self._acks:
            idents, self._acks = self._acks[:1000], self._acks[1000:]
            self._acks_under_way += 1
            self._link.ask(["HDEL", b"o:" + self.node_id.encode(), *idents], partial(self._forgotten, idents))

    def _forgotten(self, idents: list[str], answer: Any) -> None:
        self._acks_under_way -= 1
        self.outbox.forget(idents)

    # -- messages --

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take what was published on a topic."""
        if payload[1:9] == self.node_id.encode():
            return
        try:
            envelope = decode(topic, payload)
        except BadEnvelope:
            self._figures.bad_messages += 1
            return
        self._figures.received += 1
        match envelope:
            case MemberCame(_, _, user_id, info):
                channel = self._channels.get(topic[3:])
                if channel is None or channel.roster is None or user_id in channel.roster:
                    return
                channel.roster[user_id] = info
            case MemberWent(_, _, user_id):
                channel = self._channels.get(topic[3:])
                if channel is None or channel.roster is None or channel.roster.pop(user_id, None) is None:
                    return
            case CountChanged(_, _, count):
                channel = self._channels.get(topic[3:])
                if channel is None:
                    return
                channel.total = count
            case UserStatus(app_id, user_id, online):
                self._news(self._watched.changed(app_id, user_id, online))
                return
            case _:
                pass
        self._deliver(envelope)

    def _news(self, envelope: Envelope | None) -> None:
        if envelope is not None:
            self._deliver(envelope)

    # -- life: called by the link --

    def connected(self, run_id: str) -> None:
        """The connection is there: be a node again."""
        for channel in self._channels.values():
            channel.subscribed = bool(channel.own or channel.steps)
            if channel.subscribed:
                self._link.subscribe(b"ch:" + channel.key)
        for user in self._users.values():
            user.subscribed = True
            self._link.subscribe(b"u:" + user.key)
        for app_id, user_id in self._watched:
            self._link.subscribe(watch_topic(app_id, user_id))
        self._register(run_id)

    def lost(self) -> None:
        """The connection is gone. Steps wait; what was in flight is settled by the next registration."""
        if self.ready:
            self._figures.gaps += 1
        self.ready = False
        self._beating = False
        self._acks_under_way = 0
        if self._registration is not None:
            self._return_unanswered(self._registration)
            self._registration = None
        self._timer("waiting", 1.0, self._look_at_waiting)

    def _register(self, run_id: str) -> None:
        timing = self._timing
        lease = round(timing.node_timeout * 1000)
        self._link.subscribe(b"to:" + self.node_id.encode())
        words: Words = [lease, lease, run_id, secrets.token_hex(8), int(self._registered)]
        self._script("register", words, lambda answer: self._register_answered(run_id, answer))

    def _register_answered(self, run_id: str, answer: Any) -> None:
        status = answer[0].decode()
        away = self._loop.time() - self._settled_at
        if status == "SWEPT" or (status == "LOST" and away > _TOMBSTONE and answer[1].decode() == self._epoch):
            _log.warning(
                "the other nodes have taken this one out of the cluster, since it did not answer for %.0f s: it comes "
                "back under a new name, and its channels and members are told as occupied and added again",
                away,
            )
            self._figures.sweeps_suffered += 1
            self._renamed()
            self._register(run_id)
            return
        _, epoch, applied, inventory, outbox, hold = answer
        if status == "LOST":
            _log.warning("Redis has forgotten what this node told it: it is told again, without telling anybody else")
        self._epoch = epoch.decode()
        self._registered = True
        self._settled_at = self._loop.time()
        self._held(hold)
        registration = self._begin(status == "LOST", pairs(inventory), pairs(outbox))
        if self._flight is not None:
            flight, self._flight = self._flight, None
            self._settle_flight(flight, registration, executed=status == "KNOWN" and applied >= flight.number)
        self._registration = registration
        self._register_on(registration)

    def _renamed(self) -> None:
        self.node_id = secrets.token_hex(4)
        self._epoch, self._registered = "", False
        self._left_lately.clear()
        self.outbox.reset()
        self._acks.clear()
        for channel in self._channels.values():
            channel.told = 0
            channel.told_users.clear()

    def _begin(self, lost: bool, inventory: dict[bytes, bytes], outbox: dict[bytes, bytes]) -> _Registration:
        counts: dict[bytes, int] = {}
        members: dict[bytes, set[str]] = {}
        users: set[bytes] = set()
        for field_, value in inventory.items():
            kind, key = field_[:1], field_[1:]
            if kind == b"c":
                counts[key] = int(value)
            elif kind == b"m":
                app, _, rest = key.partition(b"\0")
                name, _, user = rest.partition(b"\0")
                members.setdefault(b"%b\0%b" % (app, name), set()).add(text(user))
            else:
                users.add(key)
        keys: dict[bytes, None] = dict.fromkeys(self._channels)
        keys.update(dict.fromkeys(counts))
        keys.update(dict.fromkeys(members))
        if lost:
            keys.update(dict.fromkeys(b"\0".join(entry[1:].split(b"\0", 2)[:2]) for entry in self._left_lately))
        channels = deque(self._channel(*_names(key)) for key in keys)
        signed = deque(self._user(*_names(key)) for key in {**dict.fromkeys(self._users), **dict.fromkeys(users)})
        return _Registration(lost, counts, members, users, channels, signed, deque(self._watched), outbox)

    def _settle_flight(self, flight: _Batch, registration: _Registration, *, executed: bool) -> None:
        """Say what became of the batch whose answer was lost. Joins are asked again: that changes nothing."""
        until = self._loop.time() + self._timing.vacate_delay + _REMEMBERED_LONGER
        for one in flight.plans:
            channel = one.channel
            again = one.steps
            if executed:
                again = [step for step in one.steps if step.joined is not None]
                for step in one.steps:
                    if step.left is None:
                        continue
                    channel.own -= 1
                    if step.member is not None and one.forget(step):
                        self._remember(channel.entry_of(step.member.user_id), until, step.source)
                    if not channel.own:
                        self._remember(channel.entry, until, step.source)
                    registration.left.append((channel, step))
                channel.told = registration.counts.get(channel.key, 0)
                channel.told_users = set(registration.members.get(channel.key, ()))
            channel.steps.extendleft(reversed(again))
            if self._channels.get(channel.key) is not channel:
                self._channels[channel.key] = channel
                registration.channels.append(channel)
        for each in flight.users:
            user = each.user
            ins = [step for step in each.steps if step.signed_in is not None]
            outs = [step for step in each.steps if step.signed_in is None]
            for one_in in ins:  # they are counted as watchers again
                self._watched.unwatch(user.app_id, one_in.watchlist)
            if executed:
                user.own -= len(outs)
                registration.signed_out += outs
                user.steps.extendleft(reversed(ins))
            else:
                for out in outs:
                    self._watched.watch(user.app_id, out.watchlist)
                user.steps.extendleft(reversed(each.steps))

    def _register_on(self, registration: _Registration) -> None:
        """Compare the next piece of what Redis has with what is so here; when there is none left, be a node."""
        batch = self._new_batch()
        room = STEPS_AT_MOST
        while registration.channels and room > 0:
            channel = registration.channels.popleft()
            had = Had(registration.counts.get(channel.key, 0), registration.members.get(channel.key, ()))
            made = plan(channel, room, had, registration.lost, self._was_left_lately)
            batch.plans.append(made)
            room -= len(made.operations) + len(made.steps)
            if not channel.steps:
                self._dirty.pop(channel, None)
        while registration.signed and room > 0 and not registration.channels:
            user = registration.signed.popleft()
            self._plan_user(batch, user, room, user.key in registration.users)
            room -= 1 + len(user.steps)
            if not user.steps:
                self._dirty.pop(user, None)
        while registration.watched and room > 0 and not registration.signed:
            batch.watched.append(registration.watched.popleft())
            room -= 1
        if batch.plans or batch.users or batch.watched:
            self._send(batch)
            return
        self._registration = None
        for ident, data in registration.outbox.items():
            self._tell((ident, data), self._whose)
        self._acks = self.outbox.stored()
        for channel, step in registration.left:
            if step.left is not None:
                step.left(Left(channel.total, False))
        for out in registration.signed_out:
            if out.signed_out is not None:
                out.signed_out(False)
        self.ready = True
        self._timer("beat", 0, self.beat)
        self._link.is_ready()
        self._schedule()

    def _return_unanswered(self, registration: _Registration) -> None:
        """The connection was lost while the node registered: leaves that are owed an answer get it now."""
        for channel, step in registration.left:
            if step.left is not None:
                step.left(Left(channel.total, False))
        for out in registration.signed_out:
            if out.signed_out is not None:
                out.signed_out(False)

    # -- beats --

    def beat(self) -> None:
        """Say that this node is alive, and do what is due."""
        if not self.ready or self._beating:
            return
        self._beating = True
        words: Words = ["HSET", b"conns:" + self.node_id.encode()]
        for app_id, count in self.counts_connections().items():
            words += [app_id, count]
        if len(words) > 2:
            self._link.ask(words, _ignored)
        lease = round(self._timing.node_timeout * 1000)
        self._script("beat", [lease, lease, _SWEEP_AT_ONCE], self._beat_answered)

    def _beat_answered(self, answer: Any) -> None:
        self._beating = False
        if answer[0] != b"OK":
            self._link.fail(_FENCED[answer[0]])
            return
        _, more, events, hold, found, swept, nodes, pending = answer
        self._settled_at = self._loop.time()
        if found:
            late = "1 node of the cluster" if found == 1 else f"{found} nodes of the cluster"
            _log.warning("%s did not answer for %g s: what it held is taken out", late, self._timing.node_timeout)
        figures = self._figures
        figures.swept_nodes += found
        figures.swept_entries += swept
        figures.nodes, figures.pending = nodes, pending
        self._tell(events, self._whose)
        self._held(hold)
        self._timer("beat", 0 if more else self._timing.heartbeat, self.beat)
        if hold:
            self._timer("due", hold / 1000 + _SOON, self.beat)
        elif pending and self._left_lately:
            self._timer("due", min(self._timing.heartbeat, self._timing.vacate_delay / 4 + _SOON), self.beat)

    @property
    def _holding(self) -> bool:
        return self._hold_until > self._loop.time()

    def _held(self, left: int) -> None:
        """Redis tells nothing doubtful for so many ms; then rosters are looked at again for who did not come back."""
        if left:
            self._hold_until = self._loop.time() + left / 1000
            self._timer("verify", left / 1000 + 10 * _SOON, self._verify)
        self._figures.hold_seconds = left / 1000

    def _verify(self) -> None:
        if self._holding:
            self._timer("verify", self._hold_until - self._loop.time() + 10 * _SOON, self._verify)
            return
        for channel in self._channels.values():
            if channel.verify:
                self._mark(channel)

    # -- while Redis is away --

    def _look_at_waiting(self) -> None:
        """Joins wait, since a late subscription is better than a failed one; but not for ever."""
        if self.ready or self.stopped:
            return
        now = self._loop.time()
        flying: Iterable[Plan] = self._flight.plans if self._flight is not None else ()
        plans = {one.channel: one for one in flying}
        for channel in list(self._channels.values()):
            for steps in (plans[channel].steps if channel in plans else [], channel.steps):
                for step in [step for step in steps if step.joined is not None]:
                    self._give_up(channel, step, steps, now)
        for user in list(self._users.values()):
            for waiting in [one for one in user.steps if one.signed_in is not None and now - one.asked > _MEMBERS_WAIT]:
                user.steps.remove(waiting)
                if waiting.signed_in is not None:
                    waiting.signed_in(Unavailable("the adapter's Redis is away"))
        self._timer("waiting", 1.0, self._look_at_waiting)

    def _give_up(self, channel: Channel, step: Step, steps: "list[Step] | deque[Step]", now: float) -> None:
        if step.joined is None:
            return
        if step.member is None and now - step.asked > _JOINS_WAIT:
            steps.remove(step)
            channel.own += 1
            self._figures.answered_alone += 1
            step.joined(Joined(max(0, channel.total - channel.told) + channel.own))
        elif now - step.asked > _MEMBERS_WAIT:
            steps.remove(step)
            step.joined(Unavailable("the adapter's Redis is away"))

    # -- the end --

    async def stop(self, timeout: float) -> None:
        """Wait until the steps are answered; tell what is pending when this is the last node."""
        deadline = self._loop.time() + timeout
        while self.ready and not self.settled and self._loop.time() < deadline:  # noqa: ASYNC110 - many things end it
            await asyncio.sleep(0.005)
        self.outbox.tell_put_off(PUT_OFF_ALL)
        while self.ready and self._loop.time() < deadline:
            answer = await self._script_answer("bye", [STEPS_AT_MOST, 0])
            if answer is None or answer[0] != b"OK":
                break
            self._tell(answer[2], self._whose)
            if not answer[2]:
                break
        self._deliver = _nowhere

    async def close(self, timeout: float) -> None:
        """Forget what is stored, and take the node out when nothing of it is left; else others inherit it."""
        deadline = self._loop.time() + timeout
        self._send_acks()
        while self.ready and self._acks_under_way and self._loop.time() < deadline:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        if self.ready:
            await self._script_answer("bye", [STEPS_AT_MOST, 1])
        self.stopped = True
        self.ready = False
        for timer in self._timers.values():
            timer.cancel()
        await self._link.close()

    async def _script_answer(self, name: str, words: Sequence[bytes | str | int]) -> Any:
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._script(name, words, lambda found: None if answer.done() else answer.set_result(found))
        _, late = await asyncio.wait({answer}, timeout=self._link.timeout)
        return None if late else answer.result()

    # -- small things --

    def _script(self, name: str, words: Sequence[bytes | str | int], then: Callable[[Any], None]) -> None:
        vacate = round(self._timing.vacate_delay * 1000)
        always = (self.node_id, self._epoch, self.shift_ms, self._link.publish_command, vacate)
        self._link.script(SCRIPTS[name], (*always, *words), then)

    def _timer(self, name: str, seconds: float, run: Callable[[], None]) -> None:
        """Run something once after so many seconds, or earlier where it was due earlier."""
        if self.stopped:
            return
        at = self._loop.time() + seconds
        armed = self._timers.get(name)
        if armed is not None:
            if armed.when() <= at and not armed.cancelled():
                return
            armed.cancel()

        def fire() -> None:
            del self._timers[name]
            run()

        self._timers[name] = self._loop.call_later(seconds, fire)


SCRIPTS: Final = Scripts("apply", "beat", "bye", "register")
PUT_OFF_ALL: Final = 1 << 30
_FENCED: Final = {b"LOST": "Redis has forgotten the cluster", b"DEAD": "the other nodes have taken this one out"}


def _step_of(plans: dict[bytes, Plan], entry: Entry, came: bool) -> Source | None:
    parts = entry[1:].split(b"\0", 2)
    found = plans.get(b"\0".join(parts[:2]))
    if found is None:
        return None
    if entry[:1] == b"m":
        return found.sources.get(text(parts[2]))
    return found.came if came else found.went


def _names(key: bytes) -> tuple[str, str]:
    app, _, name = key.partition(b"\0")
    return text(app), text(name)


def _nowhere(envelope: Envelope) -> None:
    pass


def _ignored(answer: Any) -> None:
    pass
