"""Who runs a database server in tests: databases refuse to run as root."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypedDict


class Who(TypedDict, total=False):
    """Arguments of ``subprocess`` that give a process another user."""

    user: str
    group: str
    extra_groups: list[str]


def unprivileged() -> Who:
    """Return what makes a process run as nobody where the tests run as root; nothing elsewhere."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def own_folder(prefix: str) -> Path:
    """Return a new folder that belongs to that user; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    give(folder)
    return folder


def give(path: Path) -> None:
    """Let a file or folder belong to that user."""
    who: dict[str, Any] = dict(unprivileged())
    if who:
        shutil.chown(path, who["user"], who["group"])
