"""How the state of a cluster is split into partitions, and what concerns several of them."""

from collections.abc import Mapping, Sequence

from sockudo_py.adapters.base import SignedIn, SignInDone
from sockudo_py.adapters.redis.partition import Partition
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import partition_of


def number_of(app_id: str, name: str, partitions: int) -> int:
    """Return the partition of a channel or user."""
    key = b"%b\0%b" % (app_id.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass"))
    return partition_of(key, partitions)


class SignIn:
    """A sign-in of a user whose friends are in other partitions, too.

    Each partition answers by itself, in any order. Who is online is looked up when the last of them has answered:
    what has changed since the others did is in their replicas.
    """

    def __init__(
        self,
        home: Partition,
        app_id: str,
        user_id: str,
        friends: Mapping[Partition, Sequence[str]],
        done: SignInDone,
    ) -> None:
        self._app_id = app_id
        self._friends = friends
        self._done = done
        self._outcome: SignedIn | None = None
        self._refused = False
        others = [partition for partition in friends if partition is not home]
        self._waiting = 1 + len(others)
        home.sign_in(app_id, user_id, friends.get(home, ()), self._signed_in)
        for partition in others:
            partition.watch(app_id, friends[partition], self._answered)
        self._others = others

    def _signed_in(self, outcome: SignedIn | Unavailable) -> None:
        if isinstance(outcome, Unavailable):
            self._refused = True
            for partition in self._others:
                partition.unwatch(self._app_id, self._friends[partition])
            self._done(outcome)
            return
        self._outcome = outcome
        self._answered()

    def _answered(self) -> None:
        self._waiting -= 1
        if self._waiting or self._refused or self._outcome is None:
            return
        online: set[str] = set()
        for partition, user_ids in self._friends.items():
            online |= partition.state.watched.online(self._app_id, user_ids)
        self._done(SignedIn(self._outcome.first, frozenset(online)))
