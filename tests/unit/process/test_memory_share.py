"""How much of its memory a process has taken: control groups of both versions, and without one."""

import os
from pathlib import Path

import pytest

from sockudo_py.process.memory import memory_share

PAGES = os.sysconf("SC_PHYS_PAGES")
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"


def machine(root: Path, group: str) -> None:
    """Lay out what a kernel shows of this process."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    (root / "proc/self/statm").write_text(f"999 {PAGES // 4} 1 1 0 1 0")


def group(root: Path, folder: str, **values: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in values.items():
        (root / folder / name.replace("memory_", "memory.", 1)).write_text(text)


@pytest.mark.parametrize(
    ("line", "folder"), [("0::/\n", V2), ("0::/system.slice/s.service\n", f"{V2}/system.slice/s.service")]
)
def test_version_2_counts_but_for_files_that_can_be_dropped(tmp_path: Path, line: str, folder: str) -> None:
    machine(tmp_path, line)
    group(tmp_path, folder, memory_current="700\n", memory_max="1000\n", memory_stat="anon 1\ninactive_file 200\n")
    assert memory_share(tmp_path) == 0.5


def test_version_2_takes_the_limit_of_the_group_around_it(tmp_path: Path) -> None:
    machine(tmp_path, "0::/a/b\n")
    group(tmp_path, f"{V2}/a/b", memory_current="10\n", memory_max="max\n", memory_stat="")
    group(tmp_path, f"{V2}/a", memory_current="300\n", memory_max="400\n", memory_stat="")
    assert memory_share(tmp_path) == 0.75


@pytest.mark.parametrize("folder", [V1, f"{V1}/docker/x"], ids=["as a container sees it", "from outside"])
def test_version_1_is_read_where_there_is_no_other(tmp_path: Path, folder: str) -> None:
    machine(tmp_path, "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n")
    values = {"memory_usage_in_bytes": "900\n", "memory_limit_in_bytes": "1000\n"}
    group(tmp_path, folder, **values, memory_stat="total_inactive_file 100\n")
    assert memory_share(tmp_path) == 0.8


def test_without_a_limit_it_is_the_resident_memory_of_the_machine_s(tmp_path: Path) -> None:
    machine(tmp_path, "4:memory:/\n0::/\n")
    group(tmp_path, V2, memory_current="5\n", memory_max="max\n")
    group(tmp_path, V1, memory_usage_in_bytes="5\n", memory_limit_in_bytes="9223372036854771712\n")
    assert memory_share(tmp_path) == pytest.approx(0.25, rel=1e-3)


def test_where_nothing_can_be_read_nothing_is_known(tmp_path: Path) -> None:
    assert memory_share(tmp_path) is None


def test_here_it_is_a_share() -> None:
    share = memory_share()
    assert share is not None
    assert 0 < share < 1
