from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sockudo_py.protocol import session
from sockudo_py.protocol.channels import CLASSES, PUBLIC
from sockudo_py.protocol.subscription import TRANSITIONS, Event
from tests.golden.transcript import replay

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_server_says_what_the_transcript_says(path: Path) -> None:
    expected = path.read_text(encoding="utf-8")
    assert replay(expected).splitlines() == expected.splitlines()


def test_every_class_of_channels_is_subscribed_to_in_a_transcript() -> None:
    everything = "".join(path.read_text(encoding="utf-8") for path in TRANSCRIPTS)
    for row in (*CLASSES, PUBLIC):
        assert f'"channel":"{row.prefix or "my-channel"}' in everything, row.kind


class Walked(Mapping[Event, object]):
    """A row of the table that notes what is looked up."""

    def __init__(self, state: str, row: Mapping[Event, object], seen: set[tuple[str, str]]) -> None:
        self.state, self.row, self.seen = state, row, seen

    def __getitem__(self, event: Event) -> object:
        self.seen.add((self.state, event))
        return self.row[event]

    def __iter__(self) -> Iterator[Event]:
        return iter(self.row)

    def __len__(self) -> int:
        return len(self.row)


def test_every_transition_of_a_subscription_is_walked_in_a_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session has no other way than the table, and what follows a transition is what the transcript says."""
    seen: set[tuple[str, str]] = set()
    walked = {state: Walked(state, row, seen) for state, row in TRANSITIONS.items()}
    monkeypatch.setattr(session, "TRANSITIONS", walked)
    for path in TRANSCRIPTS:
        replay(path.read_text(encoding="utf-8"))
    assert seen == {(state, event) for state, row in TRANSITIONS.items() for event in row}


def test_a_transition_leads_to_a_state_that_the_table_has() -> None:
    assert {after for row in TRANSITIONS.values() for after, _ in row.values()} == set(TRANSITIONS)


def test_a_transcript_that_is_not_what_happens_is_noticed() -> None:
    true = 'opens 1.2\n< {"event":"pusher:connection_established","data":"'
    true += '{\\"socket_id\\":\\"1.2\\",\\"activity_timeout\\":120}"}\n> {"event":"pusher:pong"}\n'
    assert replay(true) == true
    assert replay(true + "< {}\n") == true
    assert replay(true.replace("120", "60")) == true


def test_a_line_that_is_no_line_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a line"):
        replay("oops\n")
