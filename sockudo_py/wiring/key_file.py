"""The admin key of a machine: made at the first start, kept in a file that only the server's user may read."""

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sockudo_py.errors import ConfigError
from sockudo_py.management.credentials.keys import EVERY_APP, Admin, new_key

MODE = 0o600
_SHORTEST = 20  # characters
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key, the file that it is in, and whether it was made just now."""

    path: Path
    key: str = field(repr=False)
    made: bool

    @property
    def admin(self) -> Admin:
        """What the key may do: everything."""
        scopes = frozenset({"read", "write"})
        return Admin(hashlib.sha256(self.key.encode()).digest(), frozenset({EVERY_APP}), scopes, "key file")


def key_file(path: Path, named: str) -> KeyFile:
    """Return the key in a file; it and its folder are made when missing. Raises ConfigError.

    Args:
        path: The file.
        named: What the configuration calls it.
    """
    try:
        try:
            return KeyFile(path, _read(path, named), made=False)
        except FileNotFoundError:
            pass
        path.parent.mkdir(parents=True, exist_ok=True)
        return KeyFile(path, *_make(path, named))
    except OSError as problem:
        text = f"{named}: {path}: {problem.strerror}; name a file in a folder that the server may write to"
        raise ConfigError([text]) from problem


def _make(path: Path, named: str) -> tuple[str, bool]:
    """Return the key of a new file, and True; or the key of a process that was faster, and False."""
    key = new_key()
    draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # no reader sees a file without the whole key
        except FileExistsError:
            return _read(path, named), False
    finally:
        draft.unlink()
    return key, True


def _read(path: Path, named: str) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError([f"{named}: {path}: has mode {mode:04o}, others can read the key; chmod 600 it"])
    key = path.read_text(errors="replace").strip()
    if not (_SHORTEST <= len(key) <= _LONGEST and key.isascii() and key.isprintable() and " " not in key):
        text = f"{named}: {path}: holds no key; remove it, and the next start makes one"
        raise ConfigError([text])
    return key
