"""A disk that fails, as far as spool files know."""

import errno
import os

import pytest


class FailingDisk:
    """Has room for so many bytes more, then fails with ``error``. ``syncs`` False: it never confirms anything.

    Only ``os.pwrite``, ``os.fsync`` and ``os.ftruncate`` are replaced, which nothing else here uses.
    """

    def __init__(self, patch: pytest.MonkeyPatch, room: int, error: int = errno.ENOSPC, *, syncs: bool = True) -> None:
        self.room = room
        self._error = error
        self._pwrite, self._fsync, self._ftruncate = os.pwrite, os.fsync, os.ftruncate
        self._syncs = syncs
        self._patch = patch
        patch.setattr(os, "pwrite", self._write)
        patch.setattr(os, "fsync", self._sync)
        patch.setattr(os, "ftruncate", self._cut)

    def _write(self, descriptor: int, data: bytes, offset: int) -> int:
        if not self.room:
            raise OSError(self._error, os.strerror(self._error))
        written = self._pwrite(descriptor, data[: self.room], offset)
        self.room -= written
        return written

    def _sync(self, descriptor: int) -> None:
        if not self._syncs:
            raise OSError(self._error, os.strerror(self._error))
        self._fsync(descriptor)

    def _cut(self, descriptor: int, size: int) -> None:
        freed = os.fstat(descriptor).st_size - size
        self._ftruncate(descriptor, size)
        self.room += freed
