"""A cluster whose nodes learn of everything late: a model of a service that is reached over a connection.

A step takes effect when it is asked for. Its answer, and the news for other nodes, arrive when the test says so, and
on each node in the order in which things happened: that is the order that the contract asks for. ``EagerNews`` and
``LaggingNews`` break it, each in its way; the suite must notice.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from sockudo_py.adapters.base import (
    ChannelFull,
    ChannelStats,
    CountChanged,
    Envelope,
    JoinDone,
    Joined,
    LeaveDone,
    Left,
    MemberCame,
    MemberWent,
    Message,
    News,
    Publication,
    SignedIn,
    SignInDone,
    SignOutDone,
    UserStatus,
)
from sockudo_py.adapters.envelopes import decode, encode
from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.changes import Change, OnChange, Transition
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

_Step = Callable[[], None]
_Subscription = tuple[str, str, Source, Member | None, bool]
_AWAY = "the cluster is away"


class LateCluster:
    """What the nodes of a cluster share. A node that dies is swept after ``node_timeout`` seconds."""

    def __init__(
        self,
        vacate_delay: float,
        call_later: Callable[[float, _Step], object],
        clock: Callable[[], float],
        node_timeout: float = 1.0,
    ) -> None:
        self.state = LocalAdapter(vacate_delay, call_later, clock)
        self.state.start(lambda envelope: None, self._decided)
        self.nodes: list[LateAdapter] = []
        self.node_timeout = node_timeout
        self._call_later = call_later
        self._clock = clock
        self._deciding: list[Transition] | None = None  # of the step that takes effect just now
        self._at_once = False
        self.owners: dict[Source, LateAdapter] = {}
        self._number = 0
        self.outbox: dict[str, tuple[LateAdapter, Transition]] = {}

    def carry_out(self, holder: "LateAdapter", step: _Step) -> list[Transition]:
        """Let a step take effect; return what it decided, which ``holder`` has to tell."""
        self._deciding = []
        step()
        decided, self._deciding = self._deciding, None
        return [self._enter(holder, change) for change in decided]

    def spread(self, origin: "LateAdapter", envelope: Envelope) -> None:
        """Send to the other nodes that want it."""
        topic, payload = encode(envelope, origin.node_id)
        for node in self.nodes:
            if node is not origin and node.wants(envelope):
                node.hear(decode(topic, payload))

    def kill(self, node: "LateAdapter") -> None:
        """Let a node die: it hears and says nothing more, and will be swept."""
        self.nodes.remove(node)
        node.waiting.clear()
        self._call_later(self.node_timeout, partial(self.sweep, node))

    def sweep(self, node: "LateAdapter") -> None:
        """Undo what a node that is gone has counted, and tell what it did not tell to the end."""
        if not self.nodes:
            return
        heir = self.nodes[0]
        for subscription in list(node.subscriptions):
            for change in node.undo(subscription, lambda left: None, heir):
                heir.arrive(partial(heir.tell, change))
        for (app_id, user_id), count in list(node.users.items()):
            for _ in range(count):
                node.sign_out_now(app_id, user_id, (), lambda last: None)
        self.inherit(node)

    def inherit(self, node: "LateAdapter") -> None:
        """Hand what is not stored yet to another node."""
        for ident, (holder, change) in list(self.outbox.items()):
            if holder is node and self.nodes:
                heir = self.nodes[0]
                told = replace(change, source=None)
                self.outbox[ident] = heir, told
                heir.arrive(partial(heir.tell, told))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let what falls due be told at once."""
        self._at_once = True
        yield
        self._at_once = False

    def _decided(self, change: Change, stored: _Step | None = None) -> None:
        assert isinstance(change, Transition)
        if self._deciding is not None:
            self._deciding.append(change)
            return
        assert change.source is not None
        holder = self.owners[change.source]
        if holder not in self.nodes and self.nodes:
            holder = self.nodes[0]
        change = self._enter(holder, change)
        if self._at_once:
            holder.tell(change)
        else:
            holder.arrive(partial(holder.tell, change))

    def _enter(self, holder: "LateAdapter", change: Transition) -> Transition:
        self._number += 1
        ident = f"late-{self._number}"
        source = None if change.source is None or self.owners[change.source] is not holder else change.source
        change = replace(change, source=source, id=ident, time_ms=int(self._clock() * 1000))
        self.outbox[ident] = holder, change
        return change


class LateAdapter:
    """One node of a ``LateCluster``, an ``Adapter``.

    ``answer`` lets arrive what waits. With ``soon``, which runs a function later, each thing arrives by itself; without
    ``slow`` everything arrives at once. ``away`` is a node that can't reach the cluster. ``published`` is what it was
    to send to the others, ``elsewhere`` how many clients they have.
    """

    alone = False

    def __init__(self, cluster: LateCluster, soon: Callable[[_Step], object] | None = None) -> None:
        self.cluster = cluster
        self.node_id = f"{len(cluster.nodes) + 1:08x}"
        cluster.nodes.append(self)
        self._soon = soon
        self.slow = True
        self.elsewhere = 0
        self.waiting: list[_Step] = []
        self.published: list[Message] = []
        self.subscriptions: list[_Subscription] = []
        self.users: Counter[tuple[str, str]] = Counter()
        self._watched: Counter[tuple[str, str]] = Counter()
        self._away = False
        self._unsent: list[_Step] = []
        self.deliver: Callable[[Envelope], None] = lambda envelope: None

    # -- arriving

    def arrive(self, step: _Step) -> None:
        self.waiting.append(step)
        if self._soon is not None:
            self._soon(partial(self.answer, 1))
        elif not self.slow:
            self.answer()

    def answer(self, number: int | None = None) -> None:
        """Let the first ``number`` things arrive that wait, or all and what they lead to."""
        while self.waiting and (number is None or number > 0):
            self.waiting.pop(0)()
            number = None if number is None else number - 1

    def hear(self, envelope: Envelope) -> None:
        self.arrive(lambda: self.deliver(envelope))

    def wants(self, envelope: Envelope) -> bool:
        match envelope:
            case UserStatus(app_id, user_id):
                return self._watched[app_id, user_id] > 0
            case Publication(app_id, channel) | MemberCame(app_id, channel) | MemberWent(app_id, channel):
                return any(one[:2] == (app_id, channel) for one in self.subscriptions)
            case CountChanged(app_id, channel):
                return any(one[:2] == (app_id, channel) for one in self.subscriptions)
            case _:
                return self.users[envelope.app_id, envelope.user_id] > 0

    def tell(self, change: Transition) -> None:
        def stored() -> None:
            self.cluster.outbox.pop(change.id or "", None)

        self._on_change(change, stored)

    @property
    def away(self) -> bool:
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        unsent, self._unsent = self._unsent, []
        for step in unsent:
            self._send(step)

    def _send(self, step: _Step) -> None:
        if self._away:
            self._unsent.append(step)
        else:
            step()

    def _answered(self, changes: list[Transition], done: _Step) -> None:
        def arrived() -> None:
            for change in changes:
                self.tell(change)
            done()

        self.arrive(arrived)

    def _spread(self, news: News) -> None:
        self.cluster.spread(self, news)

    # -- the contract

    def start(self, deliver: Callable[[Envelope], None], on_change: OnChange) -> None:
        self.deliver = deliver
        self._on_change = on_change

    async def open(self) -> None:
        if self._away:
            raise Unavailable(_AWAY)

    async def stop(self) -> None:
        if self not in self.cluster.nodes:
            return
        self.away = False
        self.answer()
        self.cluster.nodes.remove(self)
        if self.cluster.nodes:
            self.cluster.sweep(self)
            return
        with self.cluster.at_once():
            await self.cluster.state.stop()

    async def close(self) -> None:
        self.cluster.inherit(self)

    def join(
        self,
        app_id: str,
        channel: str,
        source: Source,
        member: Member | None,
        max_members: int,
        tell_count: bool,
        done: JoinDone,
    ) -> None:
        if self._away:
            self.arrive(lambda: done(Unavailable(_AWAY)))
            return
        state = self.cluster.state
        answers: list[Joined | ChannelFull | Unavailable] = []
        join = partial(state.join, app_id, channel, source, member, max_members, tell_count, answers.append)
        self.cluster.owners[source] = self
        changes = self.cluster.carry_out(self, join)
        outcome = answers[0]
        if isinstance(outcome, Joined):
            self.subscriptions.append((app_id, channel, source, member, tell_count))
            if outcome.roster is not None:
                outcome = Joined(outcome.subscription_count, outcome.first_of_user, dict(outcome.roster))
            if outcome.first_of_user and member is not None:
                self._spread(MemberCame(app_id, channel, member.user_id, member.user_info))
            if tell_count:
                self._spread(CountChanged(app_id, channel, outcome.subscription_count))
        self._answered(changes, partial(done, outcome))

    def leave(
        self, app_id: str, channel: str, source: Source, member: Member | None, tell_count: bool, done: LeaveDone
    ) -> None:
        def step() -> None:
            answers: list[Left] = []
            same = [one for one in self.subscriptions if (one[0], one[1], one[3]) == (app_id, channel, member)]
            self.subscriptions.remove(next((one for one in same if one[2] is source), same[0]))
            subscription = (app_id, channel, source, member, tell_count)
            self.subscriptions.append(subscription)
            self.cluster.owners[source] = self
            changes = self.undo(subscription, answers.append, self)
            self._answered(changes, lambda: done(answers[0]))

        self._send(step)

    def undo(self, subscription: _Subscription, done: LeaveDone, holder: "LateAdapter") -> list[Transition]:
        """Let one subscription end; return what ``holder`` has to tell of it."""
        app_id, channel, source, member, tell_count = subscription

        def left(outcome: Left) -> None:
            if outcome.last_of_user and member is not None:
                self._spread(MemberWent(app_id, channel, member.user_id))
            if tell_count:
                self._spread(CountChanged(app_id, channel, outcome.subscription_count))
            done(outcome)

        self.subscriptions.remove(subscription)
        leave = partial(self.cluster.state.leave, app_id, channel, source, member, tell_count, left)
        return self.cluster.carry_out(holder, leave)

    def sign_in(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignInDone) -> None:
        def signed_in(outcome: SignedIn | Unavailable) -> None:
            if isinstance(outcome, SignedIn) and outcome.first:
                self._spread(UserStatus(app_id, user_id, True))
            self.arrive(lambda: done(outcome))

        if self._away:
            self.arrive(lambda: done(Unavailable(_AWAY)))
            return
        self.users[app_id, user_id] += 1
        self._watched.update((app_id, watched) for watched in watchlist)
        self.cluster.state.sign_in(app_id, user_id, watchlist, signed_in)

    def sign_out(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        self._send(lambda: self.sign_out_now(app_id, user_id, watchlist, lambda last: self.arrive(lambda: done(last))))

    def sign_out_now(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        def signed_out(last: bool) -> None:
            if last:
                self._spread(UserStatus(app_id, user_id, False))
            done(last)

        self.users[app_id, user_id] -= 1
        self._watched.subtract((app_id, watched) for watched in watchlist)
        self.cluster.state.sign_out(app_id, user_id, watchlist, signed_out)

    def publish(self, message: Message) -> None:
        self.published.append(message)
        if not self._away:
            self.cluster.spread(self, message)

    async def channels(self, app_id: str, prefix: str = "") -> dict[str, ChannelStats]:
        return await self._asked().channels(app_id, prefix)

    async def channel(self, app_id: str, channel: str) -> ChannelStats | None:
        return await self._asked().channel(app_id, channel)

    async def members(self, app_id: str, channel: str) -> list[str]:
        return await self._asked().members(app_id, channel)

    async def connections_elsewhere(self, app_id: str) -> int:
        return self.elsewhere

    def put_off(self, waits: Callable[[Source], bool] | None) -> None:
        self.cluster.state.put_off(waits)

    def tell_put_off(self, most: int) -> bool:
        with self.cluster.at_once():
            return self.cluster.state.tell_put_off(most)

    def healthy(self) -> bool:
        return not self._away

    def _asked(self) -> LocalAdapter:
        if self._away:
            raise Unavailable(_AWAY)
        return self.cluster.state


class EagerNews(LateAdapter):
    """Breaks the order: news overtakes the answers that wait, as over a connection of its own."""

    def hear(self, envelope: Envelope) -> None:
        self.deliver(envelope)


class LaggingNews(LateAdapter):
    """Breaks the order: news comes when no answer waits any more, also what these contain already."""

    def __init__(self, cluster: LateCluster, soon: Callable[[_Step], object] | None = None) -> None:
        super().__init__(cluster, soon)
        self._news: list[Envelope] = []

    def hear(self, envelope: Envelope) -> None:
        self._news.append(envelope)
        if len(self._news) == 1:
            self.arrive(self._tell_news)

    def _tell_news(self) -> None:
        if self.waiting:
            self.arrive(self._tell_news)
            return
        news, self._news = self._news, []
        for envelope in news:
            self.deliver(envelope)
