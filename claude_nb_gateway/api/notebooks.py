"""Which notebook a kernel of the Jupyter server runs."""

from __future__ import annotations

from jupyter_server.serverapp import ServerApp
from tornado.web import HTTPError


async def notebook_of(server: ServerApp, kernel_id: str) -> str | None:
    """The path of the kernel's notebook, relative to the root of `server`.

    None if no notebook belongs to the kernel, or if there is no such kernel.
    """
    try:
        session = await server.session_manager.get_session(kernel_id=kernel_id)
    except HTTPError:  # Jupyter has no session with this kernel
        return None
    return str(session["path"])
