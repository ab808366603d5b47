"""Directories below a root, reached so that no name leads outside it.

Every step opens one name within the directory opened before, and follows no link: so
there is no moment between a check and a use in which the path could change. All of it
is file I/O: call it in a thread.
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

MOST_PATH_BYTES = 4_096
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place(NamedTuple):
    """A directory that was there: its absolute path, and what it is."""

    directory: str
    device: int
    inode: int

    @property
    def identity(self) -> str:
        """``DEV:INO``, for the process that is to run there."""
        return f"{self.device}:{self.inode}"


def names_in(path: str, *, allow_hidden: bool = False) -> list[str]:
    """The names that lead from the root to `path`, none for the root itself.

    Raises
    ------
    InvalidRequest
        It is absolute, leads upwards or to something hidden, or cannot be a path.
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
    # Its length is looked at first, which takes no longer for a long one.
    too_long = f"it is longer than {MOST_PATH_BYTES} bytes"
    if len(path) > MOST_PATH_BYTES:
        return too_long
    if path.startswith(("/", "~")):
        return "it must not be absolute"
    if any(ord(character) < 0x20 or character == "\x7f" for character in path):
        return "it must not have control characters in it"
    try:
        return too_long if len(path.encode()) > MOST_PATH_BYTES else ""
    except UnicodeEncodeError:
        return "it is no valid text"


def find(root: str, names: Sequence[str]) -> Place | None:
    """The directory below `root` that `names` lead to, None if there is none.

    Raises
    ------
    InvalidRequest
        A link or a file is in the way, or it may not be read.
    """
    try:
        with _opened(root, names) as descriptor:
            return _place(root, names, descriptor)
    except FileNotFoundError:
        return None


def make(root: str, names: Sequence[str]) -> Place:
    """The same, made if it is missing; raises InvalidRequest."""
    with _opened(root, names, create=True) as descriptor:
        return _place(root, names, descriptor)


def count_files(root: str, names: Sequence[str]) -> int:
    """How many files are in the directory and below it."""
    with _opened(root, names) as descriptor:
        return sum(len(files) for *_, files, _ in os.fwalk(dir_fd=descriptor))


def remove(root: str, names: Sequence[str]) -> None:
    """Remove the directory with all that is in it; links are removed, not followed.

    Raises
    ------
    InvalidRequest
        Something of it could not be removed, or is gone already.
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
    """Whether one of the files `names` of the directory is, or is behind, a link."""
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
        return "is too long a name"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "may not be entered, or made, by the server"
    return f"cannot be entered ({os.strerror(error.errno or 0)})"
