"""Spool files over the lives of several processes that share a path."""

import asyncio
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from sockudo_py.errors import SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Append
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool import disk as spool_disk
from sockudo_py.webhooks.spool.disk import SpoolDisk
from sockudo_py.webhooks.spool.file import SpoolFile
from sockudo_py.webhooks.spool.lines import line_of
from tests.support.disk import FailingDisk
from tests.support.spool import leave, spooled

ALL = (100_000, 1 << 26)


def events(first: int, last: int, app_id: str = "a") -> list[Append]:
    return [
        Append(f"{app_id}-{number:04}", "wh_a", app_id, b'{"number":"%04d"}' % number, 1000)
        for number in range(first, last + 1)
    ]


LINE = len(line_of(events(1000, 1000)[0]))


def a_disk(path: Path) -> tuple[SpoolDisk, WebhookMetrics]:
    metrics = WebhookMetrics(Metrics())
    return SpoolDisk(path, metrics), metrics


async def a_life(path: Path, left: list[Append]) -> list[Append]:
    """Start, hand all over that is there, end with some events left; return what was there."""
    disk, _ = a_disk(path)
    found = await disk.open(*ALL)
    await disk.tidy([])
    await disk.close(left)
    return found


def killed(disk: SpoolDisk) -> None:
    """Leave the files as a kill of the process does."""
    for file in disk._files():
        file.close()


async def test_two_processes_with_one_path_keep_the_events_of_both(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    one, two = a_disk(path)[0], a_disk(path)[0]
    assert [await disk.open(*ALL) for disk in (one, two)] == [[], []]
    await one.close(events(1, 7))
    await two.close(events(8, 37))
    assert sorted(spooled(path)) == events(1, 37)
    assert sorted(await a_life(path, [])) == events(1, 37)
    assert os.listdir(tmp_path) == []


async def test_a_start_leaves_alone_what_a_living_process_holds(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 3))
    one, two = a_disk(path)[0], a_disk(path)[0]
    assert await one.open(*ALL) == events(1, 3)
    assert await two.open(*ALL) == []
    await two.tidy([])
    await two.close([])
    assert spooled(path) == events(1, 3)
    await one.close(events(1, 3))
    assert await a_life(path, []) == events(1, 3)


async def test_of_many_starts_at_once_exactly_one_adopts_each_file(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    for number in range(40):
        leave(path, events(number, number))
    disks = [a_disk(path)[0] for _ in range(8)]
    found = await asyncio.gather(*(disk.open(*ALL) for disk in disks))
    assert Counter(event for some in found for event in some) == Counter(events(0, 39))
    for disk in disks:
        await disk.close([])
    assert os.listdir(tmp_path) == []


async def test_a_kill_between_adoption_and_hand_over_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 5))
    disk, _ = a_disk(path)
    assert await disk.open(*ALL) == events(1, 5)
    killed(disk)
    assert await a_life(path, []) == events(1, 5)


async def test_a_kill_after_tidying_brings_back_only_what_was_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 5))
    disk, _ = a_disk(path)
    await disk.open(*ALL)
    await disk.tidy([*events(4, 5), *events(6, 6)])
    killed(disk)
    assert await a_life(path, []) == events(4, 5)


async def test_a_kill_while_files_are_rewritten_brings_each_event_back_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 5))
    disk, _ = a_disk(path)
    await disk.open(*ALL)
    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "remove", SpoolFile.close)  # it came no further
        await disk.tidy(events(4, 5))
    killed(disk)
    assert len(spooled(path)) == 7
    assert await a_life(path, []) == events(1, 5)
    assert os.listdir(tmp_path) == []


async def test_files_of_older_versions_are_adopted(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"".join(map(line_of, events(1, 2))))
    part = tmp_path / "spool.part"
    part.write_bytes(b"".join(map(line_of, events(3, 5)))[:-30])
    os.utime(path, (1, 1))
    assert await a_life(path, []) == events(1, 4)
    assert os.listdir(tmp_path) == ["spool.bad"]


async def test_a_file_that_an_older_version_is_writing_is_not_removed(tmp_path: Path) -> None:
    part = tmp_path / "spool.part"
    part.write_bytes(b"".join(map(line_of, events(1, 2))))
    disk, _ = a_disk(tmp_path / "spool")
    assert await disk.open(*ALL) == events(1, 2)
    part.write_bytes(part.read_bytes() + line_of(events(3, 3)[0]))
    await disk.tidy([])
    await disk.close([])
    assert spooled(tmp_path / "spool") == events(1, 3)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_a_full_disk_at_the_end_keeps_what_fits_and_says_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: int
) -> None:
    path = tmp_path / "spool"
    disk, metrics = a_disk(path)
    await disk.open(*ALL)
    with monkeypatch.context() as patch:
        FailingDisk(patch, 7 * LINE + 40, error)
        await disk.close(events(1, 10))
    (told,) = [record for record in caplog.records if "lost at shutdown" in record.message]
    assert (vars(told)["events"], vars(told)["kept"]) == (3, 7)
    assert os.strerror(error) in vars(told)["error"]
    assert metrics.spool_dropped.values == {("a",): 3}
    assert metrics.spool_kept.values == {(): 7}
    assert await a_life(path, []) == events(1, 7)


async def test_on_a_full_disk_what_is_there_stays_and_only_new_events_need_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 50))
    disk, metrics = a_disk(path)
    await disk.open(*ALL)
    with monkeypatch.context() as patch:
        full = FailingDisk(patch, 2 * LINE + 40)
        remove = SpoolFile.remove

        def free(file: SpoolFile) -> None:
            full.room += file.size
            remove(file)

        patch.setattr(SpoolFile, "remove", free)
        await disk.close(events(1, 54))
    assert metrics.spool_dropped.values == {("a",): 2}
    assert metrics.spool_kept.values == {(): 52}
    assert await a_life(path, []) == events(1, 52)


async def test_a_process_without_a_descriptor_left_writes_all_down(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 5))
    disk, metrics = a_disk(path)
    await disk.open(*ALL)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))  # the lowest that is free is past the limit
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open("/dev/null", os.O_RDONLY)
        await disk.close(events(1, 9))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert metrics.spool_dropped.values == {}
    assert await a_life(path, []) == events(1, 9)


async def test_a_folder_that_is_gone_at_the_end_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "data" / "spool"
    leave(path, events(1, 5))
    disk, metrics = a_disk(path)
    await disk.open(*ALL)
    shutil.rmtree(tmp_path / "data")
    await disk.close(events(1, 9))
    assert metrics.spool_dropped.values == {}
    assert await a_life(path, []) == events(1, 9)


async def test_events_that_the_disk_does_not_confirm_are_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 5))
    disk, metrics = a_disk(path)
    await disk.open(*ALL)
    with monkeypatch.context() as patch:
        FailingDisk(patch, 1000 * LINE, errno.EIO, syncs=False)
        await disk.close(events(1, 9))
    assert "the disk did not confirm it" in caplog.text
    assert metrics.spool_dropped.values == {}
    assert await a_life(path, []) == events(1, 9)


async def test_a_disk_that_is_full_at_the_start_is_tried_again_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 2))
    disk, _ = a_disk(path)
    with monkeypatch.context() as patch:

        def full(path: Path) -> SpoolFile:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        patch.setattr(spool_disk, "create", full)
        assert await disk.open(*ALL) == events(1, 2)
    assert "the disk of the webhook spool file is full" in caplog.text
    await disk.close(events(1, 3))
    assert await a_life(path, []) == events(1, 3)


async def test_a_folder_that_can_not_be_made_keeps_the_server_from_starting_and_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    disk, _ = a_disk(tmp_path / "data" / "spool")
    with pytest.raises(SockudoError, match=r"^webhooks\.spool\.path: .*data.*; name a file in a folder"):
        await disk.open(*ALL)


async def test_what_memory_has_no_room_for_waits_on_disk_for_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    for number in range(5):
        leave(path, events(10 * number, 10 * number + 9))
    disk, _ = a_disk(path)
    found = await disk.open(25, 1 << 20)
    assert len(found) == 25
    assert disk.unread
    while disk.unread:
        await disk.tidy([])
        found += await disk.read(3, 1 << 20)
    assert found == events(0, 49)
    await disk.tidy([])
    await disk.close([])
    assert os.listdir(tmp_path) == []


async def test_all_is_read_when_the_caller_has_it_and_not_when_a_thread_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    leave(path, events(0, 9))
    disk, _ = a_disk(path)
    await disk.open(5, 1 << 20)
    assert not disk.all_read
    read, go_on = threading.Event(), threading.Event()
    read_some = disk._read_some

    def slowly(most: int, most_bytes: int) -> int:
        size = read_some(most, most_bytes)
        read.set()
        go_on.wait(60.0)
        return size

    monkeypatch.setattr(SpoolDisk, "_read_some", lambda self, most, size: slowly(most, size))
    rest = asyncio.create_task(disk.read(100, 1 << 20))
    await asyncio.to_thread(read.wait, 60.0)
    assert not disk.unread
    assert not disk.all_read
    go_on.set()
    assert await rest == events(5, 9)
    assert disk.all_read
    await disk.tidy([])
    await disk.close([])


async def test_what_was_not_read_by_the_end_is_still_there(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    for number in range(3):
        leave(path, events(10 * number, 10 * number + 9))
    disk, _ = a_disk(path)
    assert await disk.open(15, 1 << 20) == events(0, 14)
    await disk.close(events(0, 14))
    assert sorted(await a_life(path, [])) == events(0, 29)


async def test_what_was_read_for_a_caller_that_was_cancelled_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 9))
    disk, _ = a_disk(path)
    found = await disk.open(3, 1 << 20)
    slow, go_on = threading.Event(), threading.Event()
    read = SpoolFile.read

    def wait(file: SpoolFile, most: int, most_bytes: int) -> object:
        slow.set()
        assert go_on.wait(60)
        return read(file, most, most_bytes)

    monkeypatch.setattr(SpoolFile, "read", wait)
    reading = asyncio.create_task(disk.read(*ALL))
    await asyncio.to_thread(slow.wait, 60)
    reading.cancel()
    go_on.set()
    await disk.close(found)
    assert sorted(spooled(path)) == events(1, 9)


async def test_a_file_that_can_not_be_read_later_on_stays_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 3))
    bad = leave(path, events(4, 6))
    disk, _ = a_disk(path)
    assert await disk.open(3, 1 << 20) == events(1, 3)
    bad.unlink()
    bad.mkdir()
    assert await disk.read(*ALL) == []
    assert not disk.unread
    assert str(bad) in [vars(record).get("file") for record in caplog.records]
    await disk.close([])


async def test_lines_that_hold_no_event_and_can_not_be_moved_stay_where_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"garbage\n" + line_of(events(1, 1)[0]))
    (tmp_path / "spool.bad").mkdir()
    assert await a_life(path, []) == events(1, 1)
    assert path.read_bytes().startswith(b"garbage\n")
    assert "can't be moved away" in caplog.text


WORKER = """
import asyncio, resource, sys, time
from pathlib import Path
from tests.unit.webhooks.test_spool_disk import ALL, a_disk, events
async def main(path, limit):
    disk, metrics = a_disk(Path(path))
    found = await disk.open(*ALL)
    print(len(found), flush=True)
    if not limit:
        time.sleep(600)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    await disk.close(events(1, 1000))
    print(metrics.spool_kept.values[()], metrics.spool_dropped.values[("a",)], flush=True)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def a_process(path: Path, limit: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(path), str(limit)], stdout=subprocess.PIPE)


async def test_a_process_that_is_killed_while_it_holds_files_leaves_them_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    leave(path, events(1, 20))
    with a_process(path, 0) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"20\n"
        other, _ = a_disk(path)
        assert await other.open(*ALL) == []
        await other.close([])
        process.send_signal(signal.SIGKILL)
    assert await a_life(path, []) == events(1, 20)
    assert os.listdir(tmp_path) == []


async def test_a_process_whose_files_may_not_grow_keeps_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with a_process(path, 500 * LINE + 11) as process:
        assert process.communicate(timeout=60)[0] == b"0\n500 500\n"
    assert await a_life(path, []) == events(1, 500)
