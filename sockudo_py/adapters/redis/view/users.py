"""Signed-in users and their watchlists, as one node knows them. Pure."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sockudo_py.adapters.base import Envelope, SignedIn, SignInDone, SignOutDone, UserStatus
from sockudo_py.adapters.redis.view.channels import Words


@dataclass(slots=True, eq=False)
class SignStep:
    """One sign-in or sign-out that has not been answered. ``asked`` is the time at which it came, in seconds."""

    watchlist: Sequence[str]
    asked: float
    signed_in: SignInDone | None = None
    signed_out: SignOutDone | None = None


@dataclass(slots=True, eq=False)
class WatchStep:
    """A user of another partition watches users of this one from now on; without ``done``, no longer."""

    app_id: str
    user_ids: Sequence[str]
    asked: float
    done: Callable[[], None] | None = None


class User:
    """A user with connections that are, or want to be, signed in on this node."""

    __slots__ = ("app_id", "key", "own", "steps", "subscribed", "user_id")

    def __init__(self, app_id: str, user_id: str, key: bytes) -> None:
        self.app_id = app_id
        self.user_id = user_id
        self.key = key
        self.own = 0
        self.steps: deque[SignStep] = deque()
        self.subscribed = False


@dataclass(slots=True, eq=False)
class UserPlan:
    """What a batch does about one user, and how its answers are read."""

    user: User
    steps: list[SignStep]
    operations: list[Words] = field(default_factory=list)
    leaves_nobody: bool = False
    _crossing: dict[SignStep, int] = field(default_factory=dict)  # the operation that a step made
    _fates: list[int] = field(default_factory=list)

    def took(self, answers: Iterator[Any]) -> None:
        """Take the answers of this plan's operations."""
        self._fates = [int(next(answers)) for _ in self.operations]

    def rewind(self, watched: "Watched") -> None:
        """Undo in the replica what the steps have changed in Redis, so that ``answer`` changes it step by step."""
        for step in self.steps:
            if self._fate(step):
                watched.of_own_step(self.user.app_id, self.user.user_id, step.signed_in is None)
                return

    def answer(self, watched: "Watched") -> None:
        """Answer the steps."""
        user = self.user
        for step in self.steps:
            fate = self._fate(step)
            if fate:
                watched.of_own_step(user.app_id, user.user_id, step.signed_in is not None)
            if step.signed_in is not None:
                user.own += 1
                step.signed_in(SignedIn(fate, watched.online(user.app_id, step.watchlist)))
            elif step.signed_out is not None:
                user.own -= 1
                step.signed_out(fate)

    def _fate(self, step: SignStep) -> bool:
        return step in self._crossing and self._fates[self._crossing[step]] > 0


def plan_user(user: User, most: int, had: bool | None) -> UserPlan:
    """Return what to ask Redis about a user: at most ``most`` of its steps, which are taken out.

    ``had`` is given while the node registers: whether Redis has the user as signed in here.
    """
    steps = [user.steps.popleft() for _ in range(min(most, len(user.steps)))]
    made = UserPlan(user, steps)
    here = user.own
    if had is not None and had != (here > 0):
        made.operations.append(["u", user.key, 1 if here else 0])
    for step in steps:
        before = here
        here += 1 if step.signed_in is not None else -1
        if bool(before) != bool(here):
            made._crossing[step] = len(made.operations)
            made.operations.append(["u", user.key, 1 if here else 0])
    made.leaves_nobody = here == 0
    return made


class Watched:
    """The users that are watched on this node, and who of them is online.

    ``watch`` and ``unwatch`` return the users whose topic is to be subscribed or not any more.
    """

    def __init__(self) -> None:
        self._watchers: dict[tuple[str, str], int] = {}
        self._online: dict[tuple[str, str], bool] = {}

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(list(self._watchers))

    def watch(self, app_id: str, watchlist: Sequence[str]) -> list[str]:
        """Count a watcher of each user."""
        news = []
        for user_id in watchlist:
            key = app_id, user_id
            self._watchers[key] = self._watchers.get(key, 0) + 1
            if self._watchers[key] == 1:
                news.append(user_id)
        return news

    def unwatch(self, app_id: str, watchlist: Sequence[str]) -> list[str]:
        """Count a watcher of each user out."""
        over = []
        for user_id in watchlist:
            key = app_id, user_id
            self._watchers[key] -= 1
            if not self._watchers[key]:
                del self._watchers[key]
                self._online.pop(key, None)
                over.append(user_id)
        return over

    def asked(self, app_id: str, user_id: str, online: bool) -> Envelope | None:
        """Take what Redis says; return the news for users who have watched already."""
        key = app_id, user_id
        if key not in self._watchers:
            return None
        before = self._online.get(key)
        self._online[key] = online
        return None if before is None or before == online else UserStatus(app_id, user_id, online)

    def suppose_offline(self, app_id: str, user_ids: Sequence[str]) -> None:
        """Take users of whom nothing is known for offline: when Redis says otherwise, that is news."""
        for user_id in user_ids:
            self._online.setdefault((app_id, user_id), False)

    def changed(self, app_id: str, user_id: str, online: bool) -> Envelope | None:
        """Take what another node's step changed; return the news, None when it is none or not known yet."""
        key = app_id, user_id
        if key not in self._online or self._online[key] == online:
            return None
        self._online[key] = online
        return UserStatus(app_id, user_id, online)

    def of_own_step(self, app_id: str, user_id: str, online: bool) -> None:
        """Take what a step of this node changed; the node itself has the news."""
        if (app_id, user_id) in self._online:
            self._online[app_id, user_id] = online

    def online(self, app_id: str, watchlist: Sequence[str]) -> frozenset[str]:
        """Return who of them is signed in."""
        return frozenset(user_id for user_id in watchlist if self._online.get((app_id, user_id)))
