from pathlib import Path

import orjson
import pytest

from sockudo_py.queues.base import Append
from sockudo_py.webhooks.spool_file import read_spool, set_aside, write_spool


def event(number: int) -> Append:
    return Append(f"id-{number}", "wh_a", "a", b"{        }", 1000 + number)


def test_what_was_written_down_comes_back(tmp_path: Path) -> None:
    events = [Append("1", "wh_1", "a", '{"x":"ü\\n"}'.encode(), 5, solo=True), event(2)]
    write_spool(tmp_path / "spool", events)
    assert read_spool(tmp_path / "spool") == (events, [])
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_events_that_were_in_a_file_are_not_our_own_any_more(tmp_path: Path) -> None:
    write_spool(tmp_path / "spool", [event(1)._replace(own=True)])
    assert read_spool(tmp_path / "spool") == ([event(1)], [])


def test_no_file_means_no_events(tmp_path: Path) -> None:
    assert read_spool(tmp_path / "spool") == ([], [])


def test_lines_that_hold_no_event_are_told_and_the_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    write_spool(path, [event(1)])
    whole = path.read_bytes()
    path.write_bytes(b"garbage\n\n{}\n" + whole + b"[]\n" + whole[:-20])
    found, bad = read_spool(path)
    assert found == [event(1)]
    assert [(line.number, line.problem) for line in bad] == [
        (1, "is not JSON"),
        (3, "id is missing or of another type than str"),
        (5, "is not a JSON object"),
        (6, "is not JSON"),
    ]
    assert bad[3].text == whole[:-20]


@pytest.mark.parametrize("key", ["id", "endpoint", "app_id", "event", "created_ms", "solo"])
@pytest.mark.parametrize("value", [None, 1.5, [], {}, "", "\u00e9", -1, 10**18, True, "e30", "W10="])
def test_a_value_of_another_type_spoils_only_its_line(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "spool"
    write_spool(path, [event(1), event(2)])
    first, second = path.read_bytes().splitlines()
    path.write_bytes(orjson.dumps({**orjson.loads(first), key: value}) + b"\n" + second)
    found, bad = read_spool(path)
    fits = (key == "solo" and value is True) or (
        key in ("id", "endpoint", "app_id") and isinstance(value, str) and value
    )
    assert (len(found), len(bad)) == ((2, 0) if fits else (1, 1))
    assert found[-1] == event(2)


def test_what_is_set_aside_joins_what_was_before(tmp_path: Path) -> None:
    path, kept = tmp_path / "spool", tmp_path / "spool.bad"
    kept.write_bytes(b"older\n")
    path.write_bytes(b"garbage")
    set_aside(path, [event(1)], read_spool(path)[1], kept)
    assert kept.read_bytes() == b"older\ngarbage\n"
    assert read_spool(path) == ([event(1)], [])
