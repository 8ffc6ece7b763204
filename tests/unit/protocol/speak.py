"""What the protocol tests share: the app of the published vectors, messages as clients write them, readers."""

import json
from collections.abc import Iterable
from typing import Any

from sockudo_py.protocol.app import App, AppKey
from sockudo_py.protocol.effects import Effect, Join, Reply
from sockudo_py.protocol.session import Session, Settings
from sockudo_py.protocol.signatures import channel_string, sign, user_string

KEY = "278d425bdf160c739803"
SECRET = b"7ad3773142a6692b25b8"
SOCKET = "1234.1234"
PLAIN = Settings(error_style="pusher")


def make_app(**settings: Any) -> App:
    """Return an app with the keys of the published vectors."""
    values: dict[str, Any] = {"id": "3", "keys": (AppKey(KEY, SECRET),), "client_events": True, **settings}
    return App(**values)


def make_session(app: App | None = None, settings: Settings = PLAIN, socket_id: str = SOCKET) -> Session:
    """Return a session that was opened at the time 0."""
    return Session(app or make_app(), socket_id, settings, 0.0)


def text(message: object) -> str:
    """Return a message as a client would write it."""
    return json.dumps(message)


def auth_for(channel: str, channel_data: str | None = None, socket_id: str = SOCKET) -> str:
    """Return what the app's backend would answer."""
    return f"{KEY}:{sign(SECRET, channel_string(socket_id, channel, channel_data))}"


def subscribe(channel: object, **data: object) -> str:
    """Return a subscribe message with exactly these parameters."""
    return text({"event": "pusher:subscribe", "data": {**data, "channel": channel}})


def subscribe_signed(channel: str, channel_data: str | None = None, socket_id: str = SOCKET) -> str:
    """Return a subscribe message that will be admitted."""
    data: dict[str, object] = {"auth": auth_for(channel, channel_data, socket_id)}
    if channel_data is not None:
        data["channel_data"] = channel_data
    return subscribe(channel, **data)


def unsubscribe(channel: object) -> str:
    """Return an unsubscribe message."""
    return text({"event": "pusher:unsubscribe", "data": {"channel": channel}})


def sign_in(user_data: str, socket_id: str = SOCKET) -> str:
    """Return a sign-in that will be verified."""
    auth = f"{KEY}:{sign(SECRET, user_string(socket_id, user_data))}"
    return text({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}})


def client_event(channel: object, event: str = "client-typing", **rest: object) -> str:
    """Return a client event."""
    return text({"event": event, "channel": channel, **rest})


def join(session: Session, channel: str, channel_data: str | None = None) -> None:
    """Subscribe successfully."""
    (effect,) = session.receive(subscribe_signed(channel, channel_data), 0.0)
    assert isinstance(effect, Join)
    member = effect.member
    session.joined(channel, None if member is None else {member.user_id: member.user_info})


def read(effect: Effect) -> dict[str, Any]:
    """Return the message of a reply."""
    assert isinstance(effect, Reply)
    message = json.loads(effect.payload)
    assert isinstance(message, dict)
    return message


def only(effects: Iterable[Effect]) -> dict[str, Any]:
    """Return the message of the one reply that there is."""
    (effect,) = effects
    return read(effect)


def complaint(effects: Iterable[Effect]) -> str:
    """Return the text of the one error with code null that there is: what the checklist calls err(null)."""
    message = only(effects)
    assert message.keys() == {"event", "data"}
    assert message["event"] == "pusher:error"
    assert message["data"].keys() == {"code", "message"}
    assert message["data"]["code"] is None
    said = message["data"]["message"]
    assert isinstance(said, str)
    assert said
    return said


def alive(session: Session) -> bool:
    """Return whether the session still answers a ping."""
    effects = session.receive('{"event":"pusher:ping","data":{}}', 0.0)
    return effects == [Reply(b'{"event":"pusher:pong","data":"{}"}')]
