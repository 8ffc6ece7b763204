"""Three nodes of a cluster that hear late of each other, against a model: who is subscribed, who is signed in."""

import json
from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from sockudo_py.changes import ChannelOccupied, MemberAdded, MemberRemoved, Transition
from tests.support.sink import RecordingSink, make_app
from tests.unit.node.kit import VACATE_DELAY, Bench

NODES = st.integers(0, 2)
CLIENTS = st.integers(0, 2)
USERS = st.sampled_from(["ann", "bob", "cid"])
ROOM, PLAIN = "presence-c", "c"


class Client:
    """A client and what it believes, by what it was told."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.sink: RecordingSink = bench.client()
        self.user: str | None = None  # signed in as
        self.wanted: dict[str, str | None] = {}  # channel -> as which user
        self.members: set[str] | None = None
        self.count: int | None = None
        self.online: set[str] = set()

    def read(self) -> None:
        """Take in what came. News that is none raises."""
        for name, text in self.sink.take():
            data = json.loads(text) if isinstance(text, str) and text.startswith("{") else {}
            match name:
                case "pusher_internal:subscription_succeeded" if "presence" in data:
                    self.members = set(data["presence"]["ids"])
                case "pusher_internal:member_added":
                    assert self.members is not None
                    assert data["user_id"] not in self.members
                    self.members.add(data["user_id"])
                case "pusher_internal:member_removed":
                    assert self.members is not None
                    self.members.remove(data["user_id"])
                case "pusher_internal:subscription_count":
                    self.count = data["subscription_count"]
                case "pusher_internal:watchlist_events":
                    for event in data["events"]:
                        for user_id in event["user_ids"]:
                            self.online.add(user_id) if event["name"] == "online" else self.online.discard(user_id)


class ThreeNodes(RuleBasedStateMachine):
    """Each client comes to know what is true, is told nothing twice, and webhooks hear of each transition once."""

    def __init__(self) -> None:
        super().__init__()
        app = make_app(subscription_count=True, watchlist=True)
        first = Bench(app=app, slow_adapter=True)
        self.benches = [first, Bench(beside=first, slow_adapter=True), Bench(beside=first, slow_adapter=True)]
        self.loop, self.cluster = first.loop, first.cluster
        self.clients = {(node, number): Client(self.benches[node]) for node in range(3) for number in range(3)}

    def alive(self, node: int) -> bool:
        return self.benches[node].adapter in self.cluster.nodes

    @rule(node=NODES, number=CLIENTS, user=USERS)
    def toggle_room(self, node: int, number: int, user: str) -> None:
        self._toggle(node, number, ROOM, user)

    @rule(node=NODES, number=CLIENTS)
    def toggle_plain(self, node: int, number: int) -> None:
        self._toggle(node, number, PLAIN, None)

    def _toggle(self, node: int, number: int, channel: str, user: str | None) -> None:
        if not self.alive(node):
            return
        client = self.clients[node, number]
        if channel in client.wanted:
            del client.wanted[channel]
            client.bench.unsubscribe(client.sink, channel)
        else:
            client.wanted[channel] = user
            client.bench.subscribe(client.sink, channel, user)

    @rule(node=NODES, number=CLIENTS, user=USERS)
    def sign_in(self, node: int, number: int, user: str) -> None:
        if not self.alive(node):
            return
        client = self.clients[node, number]
        if client.user is None:
            client.user = user
            client.bench.sign_in(client.sink, user, ["ann", "bob", "cid"])

    @rule(node=NODES, number=CLIENTS)
    def reconnect(self, node: int, number: int) -> None:
        if self.alive(node):
            client = self.clients[node, number]
            client.bench.node.disconnect(client.sink)
            self.clients[node, number] = Client(client.bench)

    @rule(node=NODES, count=st.integers(1, 4))
    def arrive(self, node: int, count: int) -> None:
        self.benches[node].adapter.answer(count)
        self._read()

    @rule(node=NODES)
    def clients_go_while_their_node_is_cut_off(self, node: int) -> None:
        if self.alive(node):
            self.benches[node].adapter.away = True
            for number in range(2):
                self.reconnect(node, number)
            self.benches[node].adapter.away = False

    @rule(node=NODES)
    def die(self, node: int) -> None:
        if self.alive(node) and len(self.cluster.nodes) > 1:
            self.cluster.kill(self.benches[node].adapter)
            for number in range(3):
                del self.clients[node, number]

    @rule(seconds=st.sampled_from([0.3, 1.0, 3.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)

    def _read(self) -> None:
        self.loop.settle()
        for client in self.clients.values():
            client.read()

    def teardown(self) -> None:
        for _ in range(3):
            self.loop.advance(VACATE_DELAY * 2)
            while any(bench.adapter.waiting for bench in self.benches if bench.adapter in self.cluster.nodes):
                for bench in self.benches:
                    bench.adapter.answer()
        self._read()
        there = {one.wanted[ROOM] for one in self.clients.values() if ROOM in one.wanted}
        plain = [one for one in self.clients.values() if PLAIN in one.wanted]
        online = {one.user for one in self.clients.values() if one.user is not None}
        for client in self.clients.values():
            if ROOM in client.wanted:
                assert client.members == there
            if PLAIN in client.wanted:
                assert client.count == len(plain)
            if client.user is not None:
                assert client.online == online
        self._transitions({(ROOM, None)} if there else set(), {(PLAIN, None)} if plain else set(), there)
        assert self.cluster.outbox == {}

    def _transitions(self, room: set[object], plain: set[object], there: set[str | None]) -> None:
        told: dict[str, Transition] = {}
        for bench in self.benches:
            for change in bench.changes:
                if isinstance(change, Transition):
                    assert change.id is not None
                    assert told.setdefault(change.id, change) == change
        steps: dict[object, list[bool]] = defaultdict(list)
        for ident in sorted(told, key=lambda one: int(one.removeprefix("late-"))):
            change = told[ident]
            user = change.user_id if isinstance(change, MemberAdded | MemberRemoved) else None
            steps[change.channel, user].append(isinstance(change, ChannelOccupied | MemberAdded))
        for key, turns in steps.items():
            assert turns == [number % 2 == 0 for number in range(len(turns))], key
        expected = room | plain | {(ROOM, user) for user in there}
        assert {key for key, turns in steps.items() if turns[-1]} == expected


TestThreeNodes = ThreeNodes.TestCase
TestThreeNodes.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
