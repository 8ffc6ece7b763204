"""One partition of the cluster's state, and the connection over which this node shares it.

Steps are gathered while a batch is under way and go into the next one. All that arrives is handled where it is read, in
the order in which Redis executed it: that alone keeps answers and news in their order.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from sockudo_py.adapters.base import Envelope, JoinDone, LeaveDone, Message, SignInDone, SignOutDone
from sockudo_py.adapters.envelopes import BadEnvelope, decode, encode, watch_topic
from sockudo_py.adapters.redis.acks import Acks
from sockudo_py.adapters.redis.figures import Figures
from sockudo_py.adapters.redis.link import Link, Scripts
from sockudo_py.adapters.redis.teller import Teller
from sockudo_py.adapters.redis.timers import Timers
from sockudo_py.adapters.redis.view import news, patience
from sockudo_py.adapters.redis.view.batches import STEPS_AT_MOST, Batches, step_of
from sockudo_py.adapters.redis.view.channels import Channel, Step, Words, pairs
from sockudo_py.adapters.redis.view.registration import Registration
from sockudo_py.adapters.redis.view.state import Batch, State
from sockudo_py.adapters.redis.view.transitions import PUT_OFF_AT_MOST, Entry, Outbox, PutOff
from sockudo_py.adapters.redis.view.users import SignStep, User, WatchStep
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

_log = logging.getLogger(__name__)

FORMAT: Final = 1  # of keys and of messages: raise it when nodes of before and after can't be in one cluster

_SWEEP_AT_ONCE: Final = 100  # entries that one beat takes apart
_TOMBSTONE: Final = 1800.0  # seconds without Redis after which its tombstone of this node may be gone
_SOON: Final = 0.005  # seconds after something is due: then it is due in Redis, too
_ECHO: Final = b"e"  # the letter of a message to this node itself, which shows how long messages take


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    vacate_delay: float
    node_timeout: float
    heartbeat: float


class Partition:
    """See ``Adapter``; ``adapter.py`` puts the partitions together."""

    def __init__(
        self,
        link: Link,
        timing: Timing,
        deliver: Callable[[Envelope], None],
        outbox: Callable[[Callable[[str], None]], Outbox],
        *,
        partitions: int = 1,
        log: Teller | None = None,
    ) -> None:
        """``partitions``: how many there are; ``log``: what all of them tell the log with."""
        self._link = link
        self._partitions = partitions
        self._log = log or Teller(_log)
        self._timing = timing
        self.figures = Figures()
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self.node_id = secrets.token_hex(4)
        self.outbox = outbox(self._acknowledge)
        self._epoch = ""
        self._registered = False
        self.state = State(timing.vacate_delay, self._loop.time)
        self._flight: Batch | None = None
        self._registration: Registration | None = None
        self._outbox_there: dict[bytes, bytes] = {}
        self.batches = Batches(self.state, link.subscribe)
        self._scheduled = False
        self._hold_until = 0.0
        self._lost_at: float | None = None
        self._acks = Acks(link)
        self._beating = False
        self._ended: list[str] = []  # nodes that are known to have ended, for the next beat
        self._beat_sent = 0.0
        self._echo_sent: float | None = None
        self._timers = Timers()
        self._settled_at = self._loop.time()  # the last time that Redis answered a beat or a registration
        self.shift_ms = 0  # of Redis' clock, for tests
        self.ready = False
        self.stopped = False
        self.counts_connections: Callable[[], Mapping[str, int]] = dict
        self.observe_delivery: Callable[[float], None] = lambda seconds: None
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
        channel = self.state.channel(app_id, name)
        channel.tell = tell_count
        channel.steps.append(Step(source, member, self._loop.time(), joined=done, limit=max_members))
        self._mark(channel)

    def leave(
        self, app_id: str, name: str, source: Source, member: Member | None, tell_count: bool, done: LeaveDone
    ) -> None:
        """See ``Adapter.leave``."""
        channel = self.state.channel(app_id, name)
        channel.tell = tell_count
        channel.steps.append(Step(source, member, self._loop.time(), left=done))
        self._mark(channel)

    def sign_in(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignInDone) -> None:
        """See ``Adapter.sign_in``."""
        user = self.state.user(app_id, user_id)
        user.steps.append(SignStep(watchlist, self._loop.time(), signed_in=done))
        self._mark(user)

    def sign_out(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        """See ``Adapter.sign_out``."""
        user = self.state.user(app_id, user_id)
        user.steps.append(SignStep(watchlist, self._loop.time(), signed_out=done))
        self._mark(user)

    def watch(self, app_id: str, user_ids: Sequence[str], done: Callable[[], None]) -> None:
        """Watch users for one who signs in in another partition; ``done`` is called when it is known who is online."""
        self.state.watching.append(WatchStep(app_id, user_ids, self._loop.time(), done))
        self._schedule()

    def unwatch(self, app_id: str, user_ids: Sequence[str]) -> None:
        """Watch them no longer."""
        self.state.watching.append(WatchStep(app_id, user_ids, self._loop.time()))
        self._schedule()

    def publish(self, message: Message) -> None:
        """Send to the other nodes that have receivers for it; lost, and counted, while Redis is away."""
        topic, payload = encode(message, self.node_id)
        if self._link.publish(topic, payload):
            self.figures.published += 1
        else:
            self.figures.publishes_lost += 1

    async def ask(self, *words: bytes | str | int) -> Any:
        """Return the answer to a query; the first key's name comes without the prefix. Raises Unavailable."""
        if not self.ready:
            raise Unavailable("the adapter's Redis is away")
        return await self._link.query(words)

    async def time_ms(self) -> int:
        """Return the clock of the server, in Unix milliseconds. Raises Unavailable."""
        if not self.ready:
            raise Unavailable("the adapter's Redis is away")
        return await self._link.time_ms()

    @property
    def settled(self) -> bool:
        """Whether no step waits for its answer."""
        waiting = self.state.dirty or self.state.watching
        return self._flight is None and not waiting and self._registration is None

    def _mark(self, what: Channel | User) -> None:
        self.state.dirty[what] = None
        self._schedule()

    def _schedule(self) -> None:
        state = self.state
        waiting = state.dirty or state.watching or self._acks
        if self.ready and self._flight is None and not self._scheduled and waiting:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    # -- batches --

    def _flush(self) -> None:
        self._scheduled = False
        if not self.ready:
            return
        self._acks.send(self.node_id, self.outbox)
        if self._flight is not None or not (self.state.dirty or self.state.watching):
            return
        self._send(self.batches.of_steps())

    def _send(self, batch: Batch) -> None:
        """Write a batch: subscriptions first, so that nothing is missed that Redis publishes after its execution."""
        self._flight = batch
        operations: list[Words] = []
        for one in batch.plans:
            channel = one.channel
            self._follow(batch, channel, b"ch:" + channel.key, not one.leaves_nobody)
            operations += one.operations
        for each in batch.users:
            self._follow(batch, each.user, b"u:" + each.user.key, not each.leaves_nobody)
            operations += each.operations
        operations += [["w", watch_topic(*watched)[2:]] for watched in batch.watched]
        words = list(chain.from_iterable(operations))
        started = self._loop.time()
        self._script("apply", [batch.number, *words], lambda answer: self._applied(batch, answer, started))
        for topic in batch.gone:
            self._link.unsubscribe(topic)

    def _follow(self, batch: Batch, what: Channel | User, topic: bytes, wanted: bool) -> None:
        """Subscribe to a topic before the batch, or note that nobody here wants it behind the batch."""
        if wanted or what.steps:
            if not what.subscribed:
                what.subscribed = True
                self._link.subscribe(topic)
        elif what.subscribed:
            what.subscribed = False
            batch.gone.append(topic)

    def _applied(self, batch: Batch, answer: Any, started: float) -> None:
        if answer[0] != b"OK":
            self._link.fail(_FENCED[answer[0]])
            return
        _, answers, events, hold = answer
        self.figures.batches += 1
        self.figures.batch_seconds += self._loop.time() - started
        self._held(hold)
        self._flight = None
        plans = {one.channel.key: one for one in batch.plans}
        self._tell(events, lambda entry, came: step_of(plans, entry, came))
        rest = iter(answers)
        for one in batch.plans:
            channel = one.channel
            one.answered(rest, self._deliver, self._holding)
            if channel.own:
                self.state.departures.back(channel.entry)
            for user_id in one.sources:
                if user_id in channel.members:
                    self.state.departures.back(channel.entry_of(user_id))
            for user_id, info in one.removed:
                self._departed(channel.entry_of(user_id), one.sources.get(user_id), info)
            if one.leaves_nobody and not channel.own and one.went is not None:
                # Also when others are there: Redis may forget that they leave, and take this node for the last.
                self._departed(channel.entry, None if channel.total else one.went)
            self._unsubscribe(self.state.forget_channel(channel))
        for each in batch.users:
            each.took(rest)
        for (app_id, user_id), online in zip(batch.watched, rest, strict=True):
            self._news(self.state.watched.asked(app_id, user_id, bool(online)))
        for each in batch.users:
            each.rewind(self.state.watched)
        for each in batch.users:
            each.answer(self.state.watched)
            self._unsubscribe(self.state.forget_user(each.user))
        for step in batch.watches:
            if step.done is not None:
                step.done()
        if self._registration is not None:
            self._register_on(self._registration)
        self._schedule()

    def _unsubscribe(self, topic: bytes | None) -> None:
        if topic is not None:
            self._link.unsubscribe(topic)

    def _departed(self, entry: Entry, source: Source | None, info: str = "null") -> None:
        """This node made an entry pending, or it may be so: look when it is due."""
        self.state.departures.add(entry, source, info)
        self._timers.arm("due", self._timing.vacate_delay + _SOON, self.beat)

    # -- transitions --

    def _tell(self, events: Sequence[bytes], source: Callable[[Entry, bool], Source | None]) -> None:
        for ident, data in zip(events[::2], events[1::2], strict=True):
            self.figures.transitions += 1
            self.outbox.tell(ident.decode(), data, source)

    def _whose(self, entry: Entry, came: bool) -> Source | None:
        return None if came else self.state.departures.source(entry)

    def _acknowledge(self, ident: str) -> None:
        self._acks.add(ident)
        if self._flight is None:
            self._schedule()
        elif self.ready and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    # -- messages --

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take a message of a topic."""
        if payload[1:9] == self.node_id.encode():
            if payload[:1] == _ECHO:
                self._echoed()
            return
        try:
            envelope = decode(topic, payload)
        except BadEnvelope:
            self.figures.bad_messages += 1
            return
        self.figures.received += 1
        if isinstance(envelope, news.NEWS):
            self._news(news.take(self.state, topic, envelope))
        else:
            self._deliver(envelope)

    def _news(self, envelope: Envelope | None) -> None:
        if envelope is not None:
            self._deliver(envelope)

    # -- life: called by the link --

    def connected(self, run_id: str) -> None:
        """The connection is there: be a node again."""
        for topic in self.state.topics():
            self._link.subscribe(topic)
        self._register(run_id)

    def lost(self) -> None:
        """The connection is gone. Steps wait; the next registration settles those in flight."""
        if self.ready:
            self.figures.gaps += 1
            self._lost_at = self._loop.time()
        self.ready = False
        self._beating = False
        self._echo_sent = None
        self._acks.lost()
        if self._registration is not None:
            self._registration.answer()
            self._registration = None
        self._timers.arm("waiting", 1.0, self._look_at_waiting)

    def _register(self, run_id: str) -> None:
        timing = self._timing
        lease = round(timing.node_timeout * 1000)
        self._link.subscribe(b"to:" + self.node_id.encode())
        random, registered = secrets.token_hex(8), int(self._registered)
        words: Words = [lease, lease, run_id, random, registered, self.batches.made, self._partitions, FORMAT]
        self._script("register", words, lambda answer: self._register_answered(run_id, answer))

    def _register_answered(self, run_id: str, answer: Any) -> None:
        status = answer[0].decode()
        away = self._loop.time() - self._settled_at
        if status in ("SPLIT", "FORMAT"):
            problem = self._another(status, answer[1].decode("ascii", "replace"))
            self._link.refused(problem)
            self._link.fail(problem)
            return
        if status == "SWEPT" or (status == "LOST" and away > _TOMBSTONE and answer[1].decode() == self._epoch):
            self._log.warning(
                "the other nodes have taken this one out of the cluster, since it did not answer for %.0f s: it comes "
                "back under a new name, and webhooks report its channels and members as occupied and added again",
                away,
            )
            self.figures.sweeps_suffered += 1
            self._renamed()
            self._register(run_id)
            return
        _, epoch, applied, inventory, outbox, hold = answer
        if status == "LOST":
            self._log.warning(
                "Redis has lost the state of this node: the node writes it again, without webhooks and messages"
            )
        self._epoch = epoch.decode()
        self._registered = True
        self._settled_at = self._loop.time()
        self._held(hold)
        self._outbox_there = pairs(outbox)
        registration = Registration(self.state, status == "LOST", pairs(inventory))
        if self._flight is not None:
            flight, self._flight = self._flight, None
            registration.settle(flight, executed=status == "KNOWN" and applied >= flight.number)
        registration.begin()
        self._registration = registration
        self._register_on(registration)

    def _another(self, status: str, theirs: str) -> str:
        """Return why this node can't be one of those that are there."""
        if status == "SPLIT":
            return (
                f"the other nodes have adapter.redis.partitions {theirs}, and this one {self._partitions}; write "
                "the same number; to change it, stop all nodes with SIGTERM first"
            )
        return (
            f"the other nodes are of a version that keeps its state in format {theirs}, and this one in format "
            f"{FORMAT}; stop them all with SIGTERM before you start this version, or give it an adapter.redis.prefix "
            "of its own"
        )

    def _renamed(self) -> None:
        self.node_id = secrets.token_hex(4)
        self._epoch, self._registered = "", False
        self.state.renamed()
        self.outbox.reset()
        self._acks.replace([])

    def _register_on(self, registration: Registration) -> None:
        """Compare the next piece; when there is none left, be a node."""
        batch = self.batches.of_registration(registration)
        if batch is not None:
            self._send(batch)
            return
        self._registration = None
        for ident, data in self._outbox_there.items():
            self._tell((ident, data), self._whose)
        self._outbox_there = {}
        self._acks.replace(self.outbox.stored())
        registration.answer()
        if self._lost_at is not None:
            self.figures.gap_seconds += self._loop.time() - self._lost_at
            self._lost_at = None
        self.ready = True
        self._timers.arm("beat", 0, self.beat)
        self._link.is_ready()
        self._schedule()

    # -- beats --

    def beat(self) -> None:
        """Say that this node is alive, and do what is due."""
        if not self.ready or self._beating:
            return
        self._beating = True
        self._beat_sent = self._loop.time()
        name = self.node_id.encode()
        if self._echo_sent is None and self._link.publish(b"to:" + name, _ECHO + name):
            self._echo_sent = self._beat_sent
        lease = round(self._timing.node_timeout * 1000)
        words: Words = [lease, lease, _SWEEP_AT_ONCE, len(self._ended), *self._ended]
        self._ended = []
        for app_id, count in self.counts_connections().items():
            words += [app_id, count]
        self._script("beat", words, self._beat_answered)

    def _echoed(self) -> None:
        """A message to this node itself has come back: another node has got one of that moment, too."""
        if self._echo_sent is not None:
            self.figures.delivery_seconds = self._loop.time() - self._echo_sent
            self.observe_delivery(self.figures.delivery_seconds)
            self._echo_sent = None

    def look(self) -> Figures:
        """Return the figures as they are now."""
        left = self._settled_at + self._timing.node_timeout - self._loop.time()
        self.figures.lease_seconds = max(left, 0.0)
        return self.figures

    def expire(self, nodes: Sequence[str]) -> bool:
        """See ``Sweeping.expire``: the leases of these nodes end, and a beat takes them out. False: Redis is away."""
        if not self.ready:
            return False
        self._ended += nodes
        self.beat()
        return True

    def _beat_answered(self, answer: Any) -> None:
        self._beating = False
        if answer[0] != b"OK":
            self._link.fail(_FENCED[answer[0]])
            return
        _, more, events, hold, found, swept, nodes, pending = answer
        self._settled_at = self._loop.time()
        if found:
            gone = "1 node of the cluster has" if found == 1 else f"{found} nodes of the cluster have"
            self._log.warning(
                "%s ended, or did not answer for %g s: its clients are taken out", gone, self._timing.node_timeout
            )
        figures = self.figures
        figures.swept_nodes += found
        figures.swept_entries += swept
        figures.nodes, figures.pending, figures.outbox = nodes, pending, len(self.outbox)
        self._tell(events, self._whose)
        if not hold and not more:
            self.state.departures.told(self._beat_sent)
        self._held(hold)
        self._timers.arm("beat", 0 if more or self._ended else self._timing.heartbeat, self.beat)
        if hold:
            self._timers.arm("due", hold / 1000 + _SOON, self.beat)
        elif pending and self.state.departures:
            self._timers.arm("due", min(self._timing.heartbeat, self._timing.vacate_delay / 4 + _SOON), self.beat)

    @property
    def _holding(self) -> bool:
        return self._hold_until > self._loop.time()

    def _held(self, left: int) -> None:
        """Redis holds doubtful transitions back for ``left`` ms. After that the node looks who did not come back."""
        if left:
            self._hold_until = self._loop.time() + left / 1000
            self._timers.arm("verify", left / 1000 + 10 * _SOON, self._verify)
        self.figures.hold_seconds = left / 1000

    def _verify(self) -> None:
        if self._holding:
            self._timers.arm("verify", self._hold_until - self._loop.time() + 10 * _SOON, self._verify)
            return
        for channel in self.state.channels.values():
            if channel.verify:
                self._mark(channel)

    def _look_at_waiting(self) -> None:
        if self.ready or self.stopped:
            return
        self.figures.answered_alone += patience.give_up(self.state, self._flight, self._loop.time())
        self._timers.arm("waiting", 1.0, self._look_at_waiting)

    # -- the end --

    async def stop(self, timeout: float, put_off: PutOff) -> None:
        """Wait until the steps are answered; report pending changes when this is the last node."""
        deadline = self._loop.time() + timeout
        while self.ready and not self.settled and self._loop.time() < deadline:  # noqa: ASYNC110 - many things end it
            await asyncio.sleep(0.005)
        put_off.tell(PUT_OFF_AT_MOST)
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
        self._acks.send(self.node_id, self.outbox)
        while self.ready and self._acks.under_way and self._loop.time() < deadline:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        if self.ready:
            await self._script_answer("bye", [STEPS_AT_MOST, 1])
        self.stopped = True
        self.ready = False
        self._timers.stop()

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


SCRIPTS: Final = Scripts("apply", "beat", "bye", "register")
_FENCED: Final = {
    b"LOST": "Redis has forgotten the cluster",
    b"DEAD": "the other nodes have taken this one out",
    b"STALE": "a batch came late",
}


def _nowhere(envelope: Envelope) -> None:
    pass
