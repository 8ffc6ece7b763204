"""What joins and sign-ins get that wait for a Redis that is away."""

from sockudo_py.adapters.base import Joined
from sockudo_py.adapters.redis.view.channels import Step
from sockudo_py.adapters.redis.view.patience import JOINS_WAIT, MEMBERS_WAIT, give_up
from sockudo_py.adapters.redis.view.state import State
from sockudo_py.adapters.redis.view.users import SignStep
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

SOURCE = Source("1", "1.1")


def waiting(member: Member | None) -> tuple[State, list[object]]:
    state, answers = State(0.0, lambda: 0.0), list[object]()
    channel = state.channel("1", "c")
    channel.own, channel.told, channel.total = 2, 2, 5
    channel.steps.append(Step(SOURCE, member, asked=0.0, joined=answers.append))
    return state, answers


def test_a_plain_join_is_confirmed_by_what_is_known_here_after_a_while() -> None:
    state, answers = waiting(None)
    assert give_up(state, None, JOINS_WAIT) == 0
    assert answers == []
    assert give_up(state, None, JOINS_WAIT + 1) == 1
    assert answers == [Joined(6)]
    channel = state.channel("1", "c")
    assert (channel.own, channel.told, len(channel.steps)) == (3, 2, 0)  # Redis is told when it is back


def test_a_presence_join_waits_longer_and_is_refused() -> None:
    state, answers = waiting(Member("ann"))
    assert give_up(state, None, MEMBERS_WAIT) == 0
    assert answers == []
    give_up(state, None, MEMBERS_WAIT + 1)
    assert [type(answer) for answer in answers] == [Unavailable]
    assert not state.channel("1", "c").steps


def test_a_sign_in_is_refused_and_a_sign_out_goes_on_waiting() -> None:
    state, answers = State(0.0, lambda: 0.0), list[object]()
    user = state.user("1", "ann")
    user.steps.append(SignStep((), 0.0, signed_out=answers.append))
    user.steps.append(SignStep((), 0.0, signed_in=answers.append))
    give_up(state, None, MEMBERS_WAIT + 1)
    assert [type(answer) for answer in answers] == [Unavailable]
    assert len(user.steps) == 1
