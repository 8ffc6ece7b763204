"""The control group of this process: its limits as the kernel says them."""

from pathlib import Path


def folders_of(root: Path, mount: str, controller: str) -> list[Path]:
    """Return the folders of this process's group and of those around it, the innermost first.

    Args:
        root: Where ``proc`` and ``sys`` are.
        mount: Where the groups are, below ``root``.
        controller: Of version 1, such as ``memory``; "" for version 2.
    """
    top = root / mount
    inner = top / _group(root, controller).strip("/")
    return [folder for folder in (inner, *inner.parents) if folder == top or top in folder.parents]


def text_of(path: Path) -> str:
    """Return the content of a file of the kernel's, "" where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _group(root: Path, controller: str) -> str:
    """Return the path of this process's group; of a container it may be one that it can't see."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"
