"""How much of the memory that it may use this process has taken: what would have it killed counts."""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")
_UNLIMITED: Final = 1 << 60  # version 1 writes a number near 2^63 where there is no limit


def memory_share(root: Path = ROOT) -> float | None:
    """Return the used share of the memory limit, from 0 to 1; None where it can't be known.

    The limit is that of the control group (version 2, else 1), with what it counts, but for files that the kernel can
    drop. Where the group has none, it is the resident memory of this process and the machine's memory.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    found = _version_2(root) or _version_1(root) or _resident(root)
    return None if found is None else found[0] / found[1]


def _version_2(root: Path) -> tuple[int, int] | None:
    mount = root / "sys/fs/cgroup"
    for folder in _folders(mount, _group(root, "")):
        found = _read(folder, "memory.current", "memory.max", "inactive_file")
        if found is not None:
            return found
    return None


def _version_1(root: Path) -> tuple[int, int] | None:
    mount = root / "sys/fs/cgroup/memory"
    for folder in _folders(mount, _group(root, "memory")):
        found = _read(folder, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
        if found is not None:
            return found
    return None


def _group(root: Path, controller: str) -> str:
    """Return the path of this process's group; of a container it may be one that it can't see."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _folders(mount: Path, group: str) -> list[Path]:
    """Return the folders of a group and of those around it, the innermost first."""
    inner = mount / group.strip("/")
    return [folder for folder in (inner, *inner.parents) if folder == mount or mount in folder.parents]


def _read(folder: Path, used: str, limit: str, droppable: str) -> tuple[int, int] | None:
    most, now = _text(folder / limit).strip(), _text(folder / used).strip()
    if not most.isdigit() or not now.isdigit() or not 0 < int(most) < _UNLIMITED:
        return None
    rows = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    return max(0, int(now) - int(rows.get(droppable, "0"))), int(most)


def _resident(root: Path) -> tuple[int, int] | None:
    pages = _text(root / "proc/self/statm").split()
    if len(pages) < 2:
        return None
    return int(pages[1]), os.sysconf("SC_PHYS_PAGES")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
