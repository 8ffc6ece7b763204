import errno
import fcntl
import os
from pathlib import Path

import pytest

from sockudo_py.queues.base import Append
from sockudo_py.webhooks.spool.file import SpoolFile, adopt, candidates, create
from sockudo_py.webhooks.spool.lines import line_of
from tests.support.disk import FailingDisk
from tests.support.spool import leave, spooled


def event(number: int) -> Append:
    return Append(f"id-{number:04}", "wh_a", "a", b'{"number":"%04d"}' % number, 1000)


def events(count: int) -> list[Append]:
    return [event(number) for number in range(count)]


LINE = len(line_of(event(1000)))


def adopted(path: Path) -> SpoolFile:
    file = adopt(path)
    assert file is not None
    return file


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    file = adopted(leave(tmp_path / "spool", events(600)))
    assert file.read(1000, 1_000_000) == (events(600), [])
    assert file.complete
    file.close()


def test_a_file_is_read_in_portions(tmp_path: Path) -> None:
    file = adopted(leave(tmp_path / "spool", events(10)))
    assert file.read(3, 1_000_000)[0] == events(3)
    assert file.read(100, 4 * LINE)[0] == events(10)[3:7]
    assert not file.complete
    assert file.read(100, 1_000_000)[0] == events(10)[7:]
    assert file.complete
    file.close()


def test_lines_that_hold_no_event_are_told_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"garbage\n\n{}\n" + line_of(event(1)) + line_of(event(2))[:-20])
    file = adopted(path)
    found, bad = file.read(100, 1_000_000)
    assert found == [event(1)]
    assert [(line.number, line.problem) for line in bad] == [
        (1, "is not JSON"),
        (3, "id is missing or of another type than str"),
        (5, "is cut off, or not JSON"),
    ]
    assert bad[2].text == line_of(event(2))[:-20]
    file.close()


def test_a_file_in_use_is_adopted_by_nobody_and_after_that_once(tmp_path: Path) -> None:
    file = create(tmp_path / "spool")
    assert adopt(file.path) is None
    file.close()
    taken = adopted(file.path)
    assert adopt(file.path) is None
    taken.close()


def test_a_file_that_is_gone_is_not_adopted(tmp_path: Path) -> None:
    assert adopt(tmp_path / "spool") is None


def test_a_file_that_is_removed_while_it_is_locked_is_not_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave(tmp_path / "spool", events(1))
    flock = fcntl.flock

    def too_late(descriptor: int, operation: int) -> None:
        path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    assert adopt(path) is None


def test_a_new_file_that_another_process_took_for_a_left_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, calls = fcntl.flock, iter([BlockingIOError])

    def taken(descriptor: int, operation: int) -> None:
        for problem in calls:
            raise problem
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", taken)
    file = create(tmp_path / "spool")
    assert len(candidates(tmp_path / "spool")) == 2
    file.close()


def test_only_files_of_this_path_belong_to_it_and_the_oldest_comes_first(tmp_path: Path) -> None:
    ours = ["spool.0123456789abcdef", "spool", "spool.part", "spool.fedcba9876543210.part"]
    others = [
        "spool.bad",
        "spool.lock",
        "spool.sqlite3",
        "spool-wal",
        "spool2",
        "spool.0123",
        "my.spool",
        "spool.part.gz",
    ]
    for number, name in enumerate([*ours, *others]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    assert [path.name for path in candidates(tmp_path / "spool")] == ours


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "spool")
    with pytest.raises(OSError, match="is not a file"):
        adopt(tmp_path / "spool")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
@pytest.mark.parametrize("room", [0, 1, LINE - 1, LINE, 300 * LINE + 7, 600 * LINE - 1])
def test_a_disk_that_fails_keeps_whole_lines_as_far_as_they_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, error: int
) -> None:
    file = create(tmp_path / "spool")
    FailingDisk(monkeypatch, room, error)
    written = file.append(events(600))
    assert written.count == room // LINE
    assert written.error is not None
    assert written.error.errno == error
    assert spooled(tmp_path / "spool") == events(600)[: room // LINE]
    file.close()


def test_after_room_was_made_the_rest_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = create(tmp_path / "spool")
    disk = FailingDisk(monkeypatch, 5 * LINE + 9)
    written = file.append(events(10))
    disk.room = 1000 * LINE
    assert file.append(events(10)[written.count :]).error is None
    assert spooled(tmp_path / "spool") == events(10)
    file.close()


def test_a_disk_that_does_not_confirm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = create(tmp_path / "spool")
    FailingDisk(monkeypatch, 1000 * LINE, errno.EIO, syncs=False)
    written = file.append(events(3))
    assert (written.count, written.error is not None) == (3, True)
    file.close()


def test_a_file_that_has_grown_since_it_was_read_is_not_removed(tmp_path: Path) -> None:
    path = leave(tmp_path / "spool", events(1))
    file = adopted(path)
    file.read(100, 1_000_000)
    with open(path, "ab") as late:
        late.write(line_of(event(1)))
    file.remove()
    assert path.exists()


def test_a_file_that_was_replaced_since_it_was_read_is_not_removed(tmp_path: Path) -> None:
    path = leave(tmp_path / "spool", events(1))
    file = adopted(path)
    file.read(100, 1_000_000)
    path.with_name("new").write_bytes(path.read_bytes())
    path.with_name("new").replace(path)
    file.remove()
    assert path.exists()
