"""How many CPUs this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sockudo_py.process.cgroup import folders_of, text_of

ROOT: Final = Path("/")


def usable_cpus(root: Path = ROOT) -> int:
    """Return how many CPUs this process may use, at least 1.

    The set of CPUs that it may run on counts (taskset, cpusets), and the quotas of its control group (version 2 or 1)
    and of the groups around it (``docker run --cpus``, limits in Kubernetes): 1.5 CPUs are 2.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    try:
        most = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        most = os.cpu_count() or 1
    return max(1, min([most, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPUs that each control group grants which has a quota."""
    for folder in folders_of(root, "sys/fs/cgroup", ""):
        quota, _, period = text_of(folder / "cpu.max").strip().partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)
    for controllers in ("cpu", "cpu,cpuacct"):
        for folder in folders_of(root, f"sys/fs/cgroup/{controllers}", "cpu"):
            first = text_of(folder / "cpu.cfs_quota_us").strip()
            second = text_of(folder / "cpu.cfs_period_us").strip()
            if first.isdigit() and second.isdigit() and int(second):  # -1: no quota
                yield int(first) / int(second)
