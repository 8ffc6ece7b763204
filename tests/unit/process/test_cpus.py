"""How many CPUs this process may use."""

import os
from pathlib import Path

import pytest

from sockudo_py.process.cpus import usable_cpus


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_quota_the_cpus_that_it_may_run_on_count(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 8
    put(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert usable_cpus(tmp_path) == 8


@pytest.mark.parametrize(("quota", "cpus"), [(50_000, 1), (100_000, 1), (150_000, 2), (1_600_000, 8)])
def test_a_quota_of_the_group_counts_rounded_up(tmp_path: Path, quota: int, cpus: int) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    put(tmp_path, "sys/fs/cgroup/a/b/cpu.max", f"{quota} 100000\n")
    assert usable_cpus(tmp_path) == cpus


def test_so_does_one_of_a_group_around_it(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    put(tmp_path, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
    put(tmp_path, "sys/fs/cgroup/a/cpu.max", "200000 100000\n")
    assert usable_cpus(tmp_path) == 2


def test_so_does_one_of_version_1(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/a\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert usable_cpus(tmp_path) == 3
