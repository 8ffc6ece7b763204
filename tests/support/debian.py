"""Programs of Debian's packages for tests, without installing anything on the machine.

apt-get downloads a package and what the machine lacks of its dependencies; the files are unpacked below ``.venv`` (or
the temporary folder, outside a virtual environment). Nothing is configured and no service is started, and it needs no
root. A second run finds it done.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

DEADLINE = 240.0  # seconds for all packages of one call
_QUIET = ["-qq", "-y", "-o", "Debug::NoLocking=1", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=20"]


@dataclass(frozen=True, slots=True)
class Packages:
    """Unpacked packages."""

    root: Path

    def file(self, path: str) -> Path:
        """Return where a file of the packages is: unpacked, or on the machine that had the package already."""
        for candidate in (self.root / path, Path("/", path)):
            if candidate.exists():
                return candidate
        give_up(f"no /{path} in the packages")

    @property
    def env(self) -> dict[str, str]:
        """The environment in which the programs find their libraries."""
        libraries = [found for usr in ("usr/lib", "lib") for found in self.root.glob(f"{usr}/*-linux-gnu*")]
        below = [found.parent for place in libraries for found in place.glob("*/*.so*")]  # some keep theirs in a folder
        folders = list(dict.fromkeys(map(str, [*libraries, *sorted(below)])))
        return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(folders)}


def give_up(reason: str) -> NoReturn:
    """Skip the test; in CI fail it: nobody must believe that it ran."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"a program for this test can't be had: {reason}")
    pytest.skip(f"NOT TESTED: {reason}")


@cache
def packages(*names: str) -> Packages:
    """Return these packages, unpacked. Worker processes wait for the first of them that needs them."""
    base = Path(sys.prefix if sys.prefix != sys.base_prefix else tempfile.gettempdir()) / "debian"
    folder = base / hashlib.sha256(" ".join(names).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".complete"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            _get(names, folder)
            stamp.touch()
    return Packages(folder / "root")


def _get(names: tuple[str, ...], folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        give_up(f"{', '.join(names)} come from Debian's packages, and this machine has no apt-get")
    lists, archives, root = (folder / name for name in ("lists", "archives", "root"))
    for made in (lists / "partial", archives / "partial", root):
        made.mkdir(parents=True, exist_ok=True)
    places = {
        "Dir::State::lists": lists,
        "Dir::Cache::archives": archives,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    options = [*_QUIET, *(part for key, value in places.items() for part in ("-o", f"{key}={value}"))]
    _run("apt-get", "update", *options)
    _run("apt-get", "install", "--download-only", "--no-install-recommends", *options, *names)
    for archive in sorted(archives.glob("*.deb")):
        _run("dpkg-deb", "--extract", str(archive), str(root))
    shutil.rmtree(lists)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        give_up(f"`{' '.join(command[:2])}` took over {DEADLINE:.0f} s")
    if done.returncode:
        give_up(f"`{' '.join(command[:2])}` failed: {done.stderr[-500:]}")
