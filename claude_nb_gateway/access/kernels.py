"""The keys of this server's kernels, and which notebook each kernel runs."""

from __future__ import annotations

import hmac
import posixpath
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..connection import kernel_id_in, key_of_kernel, new_kernel_key


@dataclass(frozen=True)
class Kernel:
    """The holder of a kernel's key.

    Parameters
    ----------
    notebook_directory:
        The directory of the kernel's notebook, relative to the server's root; empty for
        the root itself, None for a kernel that runs no notebook.
    running:
        Whether the kernel still runs.
    """

    notebook_directory: str | None = None
    running: bool = True


class Kernels:
    """Checks the keys of the kernels that a server runs.

    Each kernel makes its own key from the one in the runtime file; see `connection`.

    Parameters
    ----------
    is_running:
        Whether the kernel with this id runs now.
    notebook_of:
        Finds the path of a kernel's notebook, relative to the server's root; None for a
        kernel without a notebook.
    directory:
        The directory that the key in the runtime file itself opens, relative to the
        server's root; None if it opens no directory.
    """

    def __init__(
        self,
        is_running: Callable[[str], bool],
        notebook_of: Callable[[str], Awaitable[str | None]],
        directory: str | None = None,
    ) -> None:
        self._is_running = is_running
        self._notebook_of = notebook_of
        self._directory = directory
        #: The key for the runtime file.
        self.key = new_kernel_key()

    async def check(self, text: str) -> Kernel | None:
        """The holder of the key `text`; None if it is no key of this server's kernels.

        The notebook is looked up at each call: a user can move it while its kernel
        runs.
        """
        kernel_id = kernel_id_in(text)
        if kernel_id is None:
            return None
        if _same(text, self.key):
            return Kernel(self._directory)
        if not _same(text, key_of_kernel(self.key, kernel_id)):
            return None
        if not self._is_running(kernel_id):
            return Kernel(running=False)
        path = await self._notebook_of(kernel_id)
        return Kernel(None if path is None else posixpath.dirname(path))


def _same(text: str, expected: str) -> bool:
    return hmac.compare_digest(
        text.encode(errors="replace"), expected.encode(errors="replace")
    )
