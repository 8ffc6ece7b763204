"""What goes to Redis in one call, made of what waits: steps, or a registration's comparison. Pure."""

from collections.abc import Callable
from typing import Final

from sockudo_py.adapters.envelopes import watch_topic
from sockudo_py.adapters.redis.view.channels import Channel, Plan, plan
from sockudo_py.adapters.redis.view.registration import Registration
from sockudo_py.adapters.redis.view.state import Batch, State
from sockudo_py.adapters.redis.view.transitions import Entry, text
from sockudo_py.adapters.redis.view.users import User, WatchStep, plan_user
from sockudo_py.protocol.source import Source

STEPS_AT_MOST: Final = 300  # of a batch


class Batches:
    """Makes them and numbers them; ``made`` is the number of the last one.

    Args:
        state: The state of this node, with the steps that wait.
        subscribe: Called with each topic that is to be subscribed before the batch.
    """

    def __init__(self, state: State, subscribe: Callable[[bytes], None]) -> None:
        self.made = 0
        self._state = state
        self._subscribe = subscribe

    def of_steps(self) -> Batch:
        """Take steps that wait, at most ``STEPS_AT_MOST`` of them."""
        state = self._state
        batch = self._new()
        room = STEPS_AT_MOST
        while state.dirty and room > 0:
            what = next(iter(state.dirty))
            waiting = len(what.steps)
            if isinstance(what, Channel):
                batch.plans.append(plan(what, room, None))
            else:
                self._plan_user(batch, what, room, None)
            room -= max(1, waiting - len(what.steps))
            if not what.steps:
                del state.dirty[what]
        while state.watching and room > 0:
            step = state.watching.popleft()
            self._plan_watch(batch, step)
            room -= len(step.user_ids)
        return batch

    def of_registration(self, registration: Registration) -> Batch | None:
        """Compare the next piece; None when there is none left."""
        batch = self._new()
        room = registration.next_channels(batch, STEPS_AT_MOST)
        while room > 0 and (found := registration.next_user()):
            user, had = found
            self._plan_user(batch, user, room, had)
            room -= 1 + len(batch.users[-1].steps)
            if not user.steps:
                self._state.dirty.pop(user, None)
        if room > 0:
            batch.watched += registration.next_watched(room)
        return batch if batch.plans or batch.users or batch.watched else None

    def _new(self) -> Batch:
        self.made += 1
        return Batch(self.made)

    def _plan_watch(self, batch: Batch, step: WatchStep) -> None:
        watched = self._state.watched
        if step.done is None:
            batch.gone += [watch_topic(step.app_id, one) for one in watched.unwatch(step.app_id, step.user_ids)]
            return
        for user_id in watched.watch(step.app_id, step.user_ids):
            self._subscribe(watch_topic(step.app_id, user_id))
        batch.watched += [(step.app_id, user_id) for user_id in step.user_ids]
        batch.watches.append(step)

    def _plan_user(self, batch: Batch, user: User, most: int, had: bool | None) -> None:
        made = plan_user(user, most, had)
        batch.users.append(made)
        for step in made.steps:
            if step.signed_in is not None:
                for watched in self._state.watched.watch(user.app_id, step.watchlist):
                    self._subscribe(watch_topic(user.app_id, watched))
                batch.watched += [(user.app_id, watched) for watched in step.watchlist]
            else:
                over = self._state.watched.unwatch(user.app_id, step.watchlist)
                batch.gone += [watch_topic(user.app_id, watched) for watched in over]


def step_of(plans: dict[bytes, Plan], entry: Entry, came: bool) -> Source | None:
    """Return whose step of a batch's plans, by the keys of their channels, a transition comes from."""
    parts = entry[1:].split(b"\0", 2)
    found = plans.get(b"\0".join(parts[:2]))
    if found is None:
        return None
    if entry[:1] == b"m":
        return found.sources.get(text(parts[2]))
    return found.came if came else found.went
