"""How long joins and sign-ins wait while Redis is away: a late subscription is better than a failed one. Pure."""

from collections import deque
from typing import Final

from sockudo_py.adapters.base import Joined
from sockudo_py.adapters.redis.view.channels import Channel, Step
from sockudo_py.adapters.redis.view.state import Batch, State
from sockudo_py.errors import Unavailable

JOINS_WAIT: Final = 5.0  # seconds, then those of plain channels are confirmed by what is known here
MEMBERS_WAIT: Final = 30.0  # seconds, then presence joins and sign-ins are refused


def give_up(state: State, flight: Batch | None, now: float) -> int:
    """Answer steps that have waited too long, sent or not; return how many joins were confirmed without Redis."""
    alone = 0
    plans = {made.channel: made for made in (flight.plans if flight is not None else ())}
    for channel in list(state.channels.values()):
        for steps in (plans[channel].steps if channel in plans else [], channel.steps):
            for step in list(steps):
                alone += _give_up_join(channel, step, steps, now)
    for user in list(state.users.values()):
        for waiting in list(user.steps):
            if waiting.signed_in is not None and now - waiting.asked > MEMBERS_WAIT:
                user.steps.remove(waiting)
                waiting.signed_in(Unavailable("the adapter's Redis is away"))
    _give_up_watches(state, flight, now)
    return alone


def _give_up_watches(state: State, flight: Batch | None, now: float) -> None:
    """A sign-in does not wait for a part of the cluster where some of its friends are: they count as offline."""
    under_way = flight.watches if flight is not None else []
    for steps in (under_way, state.watching):
        for step in list(steps):
            if step.done is None or now - step.asked <= JOINS_WAIT:
                continue
            steps.remove(step)
            if steps is state.watching:
                state.watched.watch(step.app_id, step.user_ids)
            state.watched.suppose_offline(step.app_id, step.user_ids)
            step.done()


def _give_up_join(channel: Channel, step: Step, steps: "list[Step] | deque[Step]", now: float) -> bool:
    """Return whether the join was confirmed."""
    if step.joined is None:
        return False
    if step.member is None and now - step.asked > JOINS_WAIT:
        steps.remove(step)
        channel.own += 1
        step.joined(Joined(max(0, channel.total - channel.told) + channel.own))
        return True
    if now - step.asked > MEMBERS_WAIT:
        steps.remove(step)
        step.joined(Unavailable("the adapter's Redis is away"))
    return False
