from pathlib import Path

import pytest

from sockudo_py.protocol.channels import CLASSES, PUBLIC
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


def test_a_transcript_that_is_not_what_happens_is_noticed() -> None:
    true = 'opens 1.2\n< {"event":"pusher:connection_established","data":"'
    true += '{\\"socket_id\\":\\"1.2\\",\\"activity_timeout\\":120}"}\n> {"event":"pusher:pong"}\n'
    assert replay(true) == true
    assert replay(true + "< {}\n") == true
    assert replay(true.replace("120", "60")) == true


def test_a_line_that_is_no_line_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a line"):
        replay("oops\n")
