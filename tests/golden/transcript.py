"""Plays a transcript to real sessions; see README.md for the format."""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sockudo_py.protocol import codec
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels import classify
from sockudo_py.protocol.effects import Close, Effect, Join, Leave, Member, Pause, Ping, Relay, Reply, SignIn
from sockudo_py.protocol.session import Session, Settings
from tests.unit.protocol.speak import make_app

_LINE = re.compile(
    r"(?:(?P<who>[a-z]+) )?"
    r"(?P<what>>|<|x|opens|gone|\+|app|settings|adapter|done|refused|unavailable)"
    r"(?: (?P<rest>.*))?"
)


class Stage:
    """Some clients, and in place of the node: who is on which channel, who is signed in, what the server said."""

    def __init__(self) -> None:
        self.app: App = make_app(client_events=False)
        self.settings = Settings()
        self.now = 0.0
        self.sessions: dict[str, Session] = {}
        self.channels: dict[str, dict[str, Member | None]] = {}
        self.said: list[str] = []
        self.late = False  # joins are answered by lines of the transcript
        self.under_way: dict[tuple[str, str], tuple[Session, Join]] = {}

    def play(self, who: str, what: str, rest: str) -> None:
        """Carry out one line that is not the server's."""
        match what:
            case "app":
                self.app = make_app(**{"client_events": False, **json.loads(rest)})
                for session in self.sessions.values():
                    session.app = self.app
            case "settings":
                self.settings = Settings(**json.loads(rest))
            case "adapter":
                self.late = rest == "late"
            case "done" | "refused" | "unavailable":
                session, join = self.under_way.pop((who, rest))
                self.perform(who, self.answer(who, session, what, join))
            case "opens":
                self.sessions[who] = session = Session(self.app, rest, self.settings, self.now)
                self.perform(who, session.open())
            case "+":
                self.now += float(rest)
                for name, session in self.sessions.items():
                    self.perform(name, session.check(self.now)[0])
            case ">" if rest == "(a WebSocket ping)":
                self.sessions[who].control_frame(self.now)
            case ">" if rest == "(a WebSocket pong)":
                self.sessions[who].last_seen = self.now
            case ">":
                self.perform(who, self.sessions[who].receive(rest, self.now))
            case "gone":
                session = self.sessions.pop(who)
                session.end()
                self.perform(who, [Leave(channel, member) for channel, member in session.subscriptions()])
            case _:
                raise ValueError(f"{what} is not for a client to do")

    def perform(self, who: str, effects: Iterable[Effect]) -> None:
        """Carry out effects as the node would."""
        for effect in effects:
            match effect:
                case Reply(payload):
                    self.say(who, "<", payload.decode())
                case Close(code, reason):
                    self.say(who, "x", f"{code} {reason}")
                case Ping():
                    self.say(who, "<", "(a WebSocket ping)")
                case Join(channel) if self.late:
                    self.under_way[who, channel] = self.sessions[who], effect
                case Join(channel, member):
                    self.join(who, channel, member)
                case Leave(channel, member):
                    self.leave(who, channel, member)
                case Relay(channel=channel, payload=payload):
                    self.tell_others(who, channel, payload)
                case SignIn(user_id, watchlist):
                    online = frozenset(session.user_id for session in self.sessions.values() if session.user_id)
                    self.perform(who, self.sessions[who].signed_in(user_id, online if watchlist else None))
                case Pause(seconds):
                    self.say(who, "<", f"(nothing, and is not read for {seconds:g} s)")

    def answer(self, who: str, session: Session, outcome: str, join: Join) -> list[Effect]:
        """Return what the outcome of a join that was under way leads to."""
        if outcome == "refused":
            return session.join_refused(join.channel, self.app.max_presence_members)
        if outcome == "unavailable":
            return session.join_unavailable(join.channel)
        self.channels.setdefault(join.channel, {})[who] = join.member
        return session.joined(join.channel, None if join.member is None else {join.member.user_id: "null"})

    def join(self, who: str, channel: str, member: Member | None) -> None:
        """Count a subscription."""
        subscribers = self.channels.setdefault(channel, {})
        members = {present.user_id: present.user_info for present in subscribers.values() if present is not None}
        if member is not None and member.user_id not in members:
            if len(members) >= self.app.max_presence_members:
                self.perform(who, self.sessions[who].join_refused(channel, self.app.max_presence_members))
                return
            members[member.user_id] = member.user_info
            self.tell_others(who, channel, codec.member_added(channel, member))
        subscribers[who] = member
        self.perform(who, self.sessions[who].joined(channel, None if member is None else members))
        if classify(channel).cached:
            self.say(who, "<", codec.cache_miss(channel).decode())

    def leave(self, who: str, channel: str, member: Member | None) -> None:
        """Undo a join."""
        subscribers = self.channels[channel]
        del subscribers[who]
        if member is not None and all(rest is None or rest.user_id != member.user_id for rest in subscribers.values()):
            self.tell_others(who, channel, codec.member_removed(channel, member.user_id))

    def tell_others(self, who: str, channel: str, payload: bytes) -> None:
        """Send to all subscribers but one."""
        for name in self.channels[channel]:
            if name != who:
                self.say(name, "<", payload.decode())

    def say(self, who: str, what: str, rest: str) -> None:
        """Note a line of the server's."""
        self.said.append(f"{who} {what} {rest}" if who else f"{what} {rest}")


def replay(transcript: str) -> str:
    """Return the transcript with the server's lines as they are when the clients' lines are played."""
    stage = Stage()
    lines: list[str] = []
    for line in transcript.splitlines():
        if not line or line.startswith("#"):
            lines.append(line)
            continue
        parts: dict[str, Any] = _parse(line)
        if parts["what"] in ("<", "x"):
            continue
        lines.append(line)
        stage.play(parts["who"], parts["what"], parts["rest"])
        lines += stage.said
        stage.said.clear()
    return "\n".join(lines) + "\n"


def _parse(line: str) -> dict[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a line of a transcript: {line}")
    return {name: value or "" for name, value in found.groupdict().items()}


if __name__ == "__main__":
    sys.stdout.write(replay(Path(sys.argv[1]).read_text(encoding="utf-8")))
