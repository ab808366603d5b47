"""The keys of this server's kernels, and of which notebook each kernel is."""

from __future__ import annotations

import hmac
import posixpath
from dataclasses import dataclass

from jupyter_server.serverapp import ServerApp
from tornado.web import HTTPError

from ..connection import KERNEL_KEY_PREFIX, key_of_kernel, new_kernel_key


@dataclass(frozen=True)
class Kernel:
    """Who holds the key of a kernel.

    `notebook_directory` is relative to the server's root, empty for the root itself;
    None for a kernel that runs no notebook. `running` says whether there is one.
    """

    notebook_directory: str | None = None
    running: bool = True


class Kernels:
    """Checks the keys of the kernels that `server` runs.

    Each kernel makes its own key of the one in the runtime file, see `connection`. The
    one in the file is for no notebook; `directory`, if it is given, is what it opens.
    """

    def __init__(self, server: ServerApp, directory: str | None = None) -> None:
        self._server = server
        self._directory = directory
        self.key = new_kernel_key()

    async def check(self, text: str) -> Kernel | None:
        """Whose key `text` is; None if it is not one of ours."""
        if not text.startswith(KERNEL_KEY_PREFIX):
            return None
        if _same(text, self.key):
            return Kernel(self._directory)
        kernel_id = text.removeprefix(KERNEL_KEY_PREFIX).rpartition("_")[0]
        if not _same(text, key_of_kernel(self.key, kernel_id)):
            return None
        if kernel_id not in self._server.kernel_manager:
            return Kernel(running=False)
        return Kernel(await self._notebook_directory(kernel_id))

    async def _notebook_directory(self, kernel_id: str) -> str | None:
        # Asked each time, since notebooks are moved under running kernels.
        sessions = self._server.session_manager
        try:
            session = await sessions.get_session(kernel_id=kernel_id)
        except HTTPError:  # the kernel has no session
            return None
        return posixpath.dirname(str(session["path"]))


def _same(text: str, expected: str) -> bool:
    return hmac.compare_digest(
        text.encode(errors="replace"), expected.encode(errors="replace")
    )
