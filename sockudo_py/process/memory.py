"""How much of the memory that it may use this process has taken: what would have it killed counts."""

import os
from pathlib import Path
from typing import Final

from sockudo_py.process.cgroup import folders_of, text_of

ROOT: Final = Path("/")
_UNLIMITED: Final = 1 << 60  # version 1 writes a number near 2^63 where there is no limit


def memory_share(root: Path = ROOT) -> float | None:
    """Return the used share of the memory limit, from 0 to 1; None where it can't be known.

    The limit is that of the control group (version 2, else 1), with what it counts, without files that the kernel can
    drop. Where the group has none, it is the resident memory of this process and the machine's memory.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    found = _version_2(root) or _version_1(root) or _resident(root)
    return None if found is None else found[0] / found[1]


def _version_2(root: Path) -> tuple[int, int] | None:
    for folder in folders_of(root, "sys/fs/cgroup", ""):
        found = _read(folder, "memory.current", "memory.max", "inactive_file")
        if found is not None:
            return found
    return None


def _version_1(root: Path) -> tuple[int, int] | None:
    for folder in folders_of(root, "sys/fs/cgroup/memory", "memory"):
        found = _read(folder, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
        if found is not None:
            return found
    return None


def _read(folder: Path, used: str, limit: str, droppable: str) -> tuple[int, int] | None:
    most, now = text_of(folder / limit).strip(), text_of(folder / used).strip()
    if not most.isdigit() or not now.isdigit() or not 0 < int(most) < _UNLIMITED:
        return None
    rows = dict(line.split(" ", 1) for line in text_of(folder / "memory.stat").splitlines() if " " in line)
    return max(0, int(now) - int(rows.get(droppable, "0"))), int(most)


def _resident(root: Path) -> tuple[int, int] | None:
    pages = text_of(root / "proc/self/statm").split()
    if len(pages) < 2:
        return None
    return int(pages[1]), os.sysconf("SC_PHYS_PAGES")
