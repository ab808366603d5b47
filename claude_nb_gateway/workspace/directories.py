"""Directories below a root, opened so that no name leads outside it.

Each step opens one name in the directory that was opened before, and follows no link.
So nobody can change the path between a check and its use. Everything here does file
I/O: call it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import InvalidRequest, quoted

MAX_PATH_BYTES = 4_096
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place(NamedTuple):
    """A directory that existed: its absolute path, its device and its inode."""

    directory: str
    device: int
    inode: int

    @property
    def identity(self) -> str:
        """``DEV:INO``: with it a process checks that it runs in this directory."""
        return f"{self.device}:{self.inode}"


def names_in(path: str, *, allow_hidden: bool = False) -> list[str]:
    """The names of the directories from the root to `path`; empty for the root.

    Raises
    ------
    InvalidRequest
        The path is absolute, leads upwards, names something hidden, or is not valid.
    """
    refused = _refusal(path)
    names = [] if refused else [n for n in path.split("/") if n not in ("", ".")]
    if not refused and ".." in names:
        refused = "it must not lead upwards (`..`)"
    if not refused and not allow_hidden and any(n.startswith(".") for n in names):
        refused = "hidden directories are not served (ContentsManager.allow_hidden)"
    if refused:
        raise InvalidRequest(
            f"`path`: {refused}. Send a path relative to the server's root directory.",
            param="path",
            code="invalid_path",
        )
    return names


def _refusal(path: str) -> str:
    # The length comes first, so that a long path takes no longer to check.
    too_long = f"it is longer than {MAX_PATH_BYTES} bytes"
    if len(path) > MAX_PATH_BYTES:
        return too_long
    if path.startswith(("/", "~")):
        return "it must not be absolute"
    if any(ord(character) < 0x20 or character == "\x7f" for character in path):
        return "it must not contain control characters"
    try:
        return too_long if len(path.encode()) > MAX_PATH_BYTES else ""
    except UnicodeEncodeError:
        return "it is not valid text"


def find(root: str, names: Sequence[str]) -> Place | None:
    """The directory below `root` that `names` lead to, None if there is none.

    Raises
    ------
    InvalidRequest
        One of the names is a link or a file, or the server may not read it.
    """
    try:
        with _opened(root, names) as descriptor:
            return _place(root, names, descriptor)
    except FileNotFoundError:
        return None


def make(root: str, names: Sequence[str]) -> Place:
    """Like `find`, but creates what is missing; raises InvalidRequest."""
    with _opened(root, names, create=True) as descriptor:
        return _place(root, names, descriptor)


def count_files(root: str, names: Sequence[str]) -> int:
    """The number of files in the directory and below it."""
    with _opened(root, names) as descriptor:
        return sum(len(files) for *_, files, _ in os.fwalk(dir_fd=descriptor))


def remove(root: str, names: Sequence[str]) -> None:
    """Remove the directory and everything in it; remove links, and do not follow them.

    Raises
    ------
    InvalidRequest
        Something could not be removed, or is gone already.
    """
    *above, name = names
    try:
        with _opened(root, above) as descriptor:
            shutil.rmtree(name, dir_fd=descriptor)
    except OSError as error:
        raise InvalidRequest(
            f"`files`: not all could be removed: {os.strerror(error.errno or 0)}.",
            param="files",
        ) from error


def links_among(place: Place, names: Sequence[str]) -> bool:
    """Whether any of the files `names` in the directory is a link, or behind a link."""
    for name in names:
        path = os.path.join(place.directory, name)
        if os.path.realpath(path) != path:
            return True
    return False


def _place(root: str, names: Sequence[str], descriptor: int) -> Place:
    found = os.fstat(descriptor)
    return Place(os.path.join(root, *names), found.st_dev, found.st_ino)


@contextlib.contextmanager
def _opened(root: str, names: Sequence[str], create: bool = False) -> Iterator[int]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            following = _step(descriptor, name, create)
            os.close(descriptor)
            descriptor = following
        yield descriptor
    finally:
        os.close(descriptor)


def _step(descriptor: int, name: str, create: bool) -> int:
    try:
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=descriptor)
        return os.open(name, _STEP, dir_fd=descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = _reason(descriptor, name, error)
        raise InvalidRequest(
            f"`path`: {quoted(name)} {reason}.", param="path", code="invalid_path"
        ) from error


def _reason(descriptor: int, name: str, error: OSError) -> str:
    with contextlib.suppress(OSError):
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            return "is a link: name the directory that it leads to"
        if not stat.S_ISDIR(mode):
            return "is not a directory"
    if error.errno == errno.ENAMETOOLONG:
        return "is too long"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "may not be entered or created by the server"
    return f"cannot be entered ({os.strerror(error.errno or 0)})"
