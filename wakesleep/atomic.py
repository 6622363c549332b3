"""Files that are replaced whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

if sys.platform != "win32":
    import fcntl


def replace_file(path: str | bytes | os.PathLike[Any], pieces: Sequence[bytes | memoryview]) -> None:
    """Write a temporary file beside `path`, or what that links to, and rename it: `path` is never half-written.

    An OSError names `path`.
    """
    try:
        _replace(path, pieces)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from error


def _replace(path: str | bytes | os.PathLike[Any], pieces: Sequence[bytes | memoryview]) -> None:
    target, mode = os.path.realpath(os.fsdecode(path)), None
    with suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "not a regular file")
    directory, name = os.path.split(target)
    stem = os.path.join(directory, f".wakesleep-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-")
    _sweep(stem)
    while not _renamed(f"{stem}{os.urandom(8).hex()}.tmp", target, mode, pieces):
        pass
    with suppress(OSError):  # makes the renaming durable, where a directory can be opened
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _renamed(temporary: str, target: str, mode: int | None, pieces: Sequence[bytes | memoryview]) -> bool:
    """Write `temporary` and rename it to `target`; False if another writer swept it away before it was locked."""
    at_first = 0o666 if mode is None else 0o600  # a new file gets what the umask leaves of 0666
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, at_first)) as file:
            with suppress(OSError):  # not all file systems have locks; without them nothing is swept either
                _lock(file)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # where an open file cannot be renamed
                file.close()
            try:
                if mode is not None:
                    os.chmod(temporary, stat.S_IMODE(mode))
                os.replace(temporary, target)
            except FileNotFoundError:
                return False
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return True


def _sweep(stem: str) -> None:
    """Remove the temporary files of dead writers; a living one holds a lock on its own."""
    for temporary in glob.glob(f"{glob.escape(stem)}*.tmp"):
        with suppress(OSError):
            with open(temporary, "r+b") as file:
                _lock(file)
            os.unlink(temporary)


def _lock(file: IO[bytes]) -> None:
    """Lock an open file until it is closed, or raise OSError. (In Windows an open file cannot be removed anyway.)"""
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
