"""Files that a start could not make, found without making anything."""

from pathlib import Path

import pytest

from sockudo_py.wiring.checks import unwritable


@pytest.mark.parametrize("path", ["/proc/queue.sqlite3", "/proc/sys/a/b.sqlite3", "/sys/queue.sqlite3"])
def test_nobody_makes_a_file_among_the_kernels_whoever_may_write_to_them(path: str) -> None:
    why = unwritable(Path(path))
    assert why is not None
    assert not Path(path).exists()


def test_a_link_into_them_is_no_way_round(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")
    assert unwritable(tmp_path / "link" / "queue.sqlite3") == "no file can be made in /proc"


def test_a_folder_that_is_still_to_be_made_will_do(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "a" / "b" / "queue.sqlite3") is None
    assert not (tmp_path / "a").exists()
