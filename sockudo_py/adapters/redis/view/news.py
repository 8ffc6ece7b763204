"""What the scripts publish about the steps of other nodes, taken into what this node holds. Pure."""

from typing import Final

from sockudo_py.adapters.base import CountChanged, Envelope, MemberCame, MemberWent, UserStatus
from sockudo_py.adapters.redis.view.state import State

NEWS: Final = (MemberCame, MemberWent, CountChanged, UserStatus)


def take(state: State, topic: bytes, envelope: Envelope) -> Envelope | None:
    """Take one of ``NEWS``; return what to send to the clients of this node, None when it is no news to them."""
    if isinstance(envelope, UserStatus):
        return state.watched.changed(envelope.app_id, envelope.user_id, envelope.online)
    channel = state.channels.get(topic[3:])
    if channel is None:
        return None
    match envelope:
        case MemberCame(_, _, user_id, info):
            if channel.roster is None or user_id in channel.roster:
                return None
            channel.roster[user_id] = info
        case MemberWent(_, _, user_id):
            if channel.roster is None or channel.roster.pop(user_id, None) is None:
                return None
        case CountChanged(_, _, count):
            channel.total = count
            if not channel.tell:
                return None
        case _:
            pass
    return envelope
