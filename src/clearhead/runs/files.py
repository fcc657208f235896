"""Files that outlive a kill: each is written whole or not at all, known by size and sha256, and read up to a limit."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.errors import MachineError, RunError, UsageError

JSON_LIMIT_BYTES = 64 * 2**20
"""The largest JSON or TOML file that is read into memory; a folder from elsewhere must not eat all of it."""


@dataclass(frozen=True)
class Stamp:
    """What a file is known by."""

    size: int
    sha256: str


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> Stamp:
    """Write a file anew and sync it to the disk; a kill may leave part of it, so give it a name nobody reads."""
    digest = hashlib.sha256()
    remove(path)  # not written through: it may be a link that somebody has laid
    with open(path, "xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
        return Stamp(file.tell(), digest.hexdigest())


def partial_path(path: Path) -> Path:
    """Return the name beside ``path`` under which it is written; whatever bears such a name is never read."""
    return path.with_name(f".{path.name}.partial")


def replace_file(path: Path, chunks: Iterable[bytes | memoryview], needed_bytes: int) -> Stamp:
    """Write a file so that a kill at any instant leaves the old one or the new one.

    Raises:
        MachineError: the disk is full or cannot be written.
    """
    partial = partial_path(path)
    with disk_errors(path, needed_bytes, partial):
        stamp = write_file(partial, chunks)
        os.replace(partial, path)
        sync_folder(path.parent)
    return stamp


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there yet, and sync their names to the disk."""
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync_folder(folder.parent)


@contextmanager
def hold_folder(path: Path) -> Iterator[None]:
    """Keep ``path`` for this process: made where it is missing, and gone again if nothing came into it.

    The system lets go of it when the process ends, however it ends. (Windows has no such lock, and none is held.)

    Raises:
        UsageError: another process keeps it.
        MachineError: the disk is full or cannot be written.
    """
    if os.name != "posix" or (os.path.lexists(path) and not os.path.isdir(path)):
        yield  # whoever makes the run says what is wrong with a file in its place
        return
    with disk_errors(path, 0, partial_path(path)):
        make_folder(path)
    try:
        with one_at_a_time(path, wait=False):
            yield
    finally:
        with suppress(OSError):
            path.rmdir()


@contextmanager
def one_at_a_time(folder: Path, wait: bool = True) -> Iterator[None]:
    """Be the only process within this for ``folder``. (Windows has no such lock: there all are let in.)

    wait: until the others are out.

    Raises:
        UsageError: another process is within, and this one does not wait.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("run-in-use", path=folder) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make a folder's names durable. (Windows has no such call and needs none.)"""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def disk_errors(path: Path, needed_bytes: int, partial: Path) -> Iterator[None]:
    """Turn the system's errors while ``path`` is written into one line for the user, and remove what is half done.

    Raises:
        MachineError: the disk is full, or the file cannot be written.
    """
    try:
        yield
    except MachineError:
        remove(partial)
        raise
    except OSError as error:
        remove(partial)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MachineError("no-room", path=path, needed_mb=needed_bytes / 1e6) from error
        raise MachineError("cannot-write", path=path, problem=error.strerror or error) from error


def remove(path: Path) -> None:
    """Remove a file or a folder where it is there and can be removed."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        with suppress(OSError):  # a leftover that resists is tried again at the next write
            path.unlink()


def read_text(path: Path, limit_bytes: int = JSON_LIMIT_BYTES) -> str:
    """Read a UTF-8 file of at most ``limit_bytes``.

    Raises:
        RunError: it is missing, not a regular file, too large, not UTF-8, or cannot be read.
    """
    check_regular(path)
    try:
        with open(path, "rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror) from error
    if len(content) > limit_bytes:
        raise RunError("file-too-large", name=path.name, limit_mb=limit_bytes / 1e6)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RunError("file-not-text", name=path.name, byte=f"0x{content[error.start]:02x}", at=error.start) from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        RunError: as ``read_text``, or it is not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError("not-json", name=path.name, problem=error) from error


def check_regular(path: Path) -> None:
    """Check that a file is there and is one (reading a pipe or a device could go on for ever).

    Raises:
        RunError: it is missing, or something other than a regular file.
    """
    if not os.path.lexists(path):
        raise RunError("file-missing", name=path.name)
    if not os.path.isfile(path):
        raise RunError("file-not-regular", name=path.name)


def check_stamp(path: Path, accepted: tuple[Stamp, ...]) -> Stamp:
    """Check that a file is one of those written, and return which; a file of another size is not read.

    Raises:
        RunError: it is missing, or something other than a regular file, or differs.
    """
    check_regular(path)
    try:
        size = path.stat().st_size
        if size not in [stamp.size for stamp in accepted]:
            raise RunError("file-size", name=path.name, found=size, expected=accepted[0].size)
        with open(path, "rb") as file:
            found = Stamp(size, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror) from error
    if found not in accepted:
        raise RunError("file-sha256", name=path.name, found=found.sha256[:12], expected=accepted[0].sha256[:12])
    return found
