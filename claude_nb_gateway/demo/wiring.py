"""`--demo`: a stand-in for the model, and a directory for the CLI's own files."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile

from .answers import demo_environment, demo_reply
from .model import ModelServer

GREETING = """
  The Claude gateway runs with canned answers. From another shell:

    {curl} -N {base}/chat/completions \\
      -H 'Authorization: Bearer {key}' \\
      -H 'Content-Type: application/json' \\
      -d '{{"model": "sonnet", "stream": true,
           "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""
VARIABLES = """
  For OpenAI clients:

    export OPENAI_BASE_URL={base} OPENAI_API_KEY={key}
"""


class Demo:
    """A stand-in for the model.

    Parameters
    ----------
    delay_seconds:
        The pause between the words of an answer.
    """

    def __init__(self, delay_seconds: float) -> None:
        self._model = ModelServer(demo_reply(delay_seconds))
        self._directory = tempfile.TemporaryDirectory(prefix="claude-demo-")

    def start(self) -> dict[str, str]:
        """Start answering; returns the environment that a CLI needs to ask here."""
        self._model.start()
        return demo_environment(self._model.url, self._directory.name)

    async def stop(self) -> None:
        """Stop answering, and remove the CLI's files."""
        await self._model.stop()
        await asyncio.to_thread(self._directory.cleanup)


def greeting(base_url: str, key: str, socket: str) -> str:
    """What to print for a user who wants to try the demo.

    `socket` is the path of the server's unix socket, empty for a server with a port.
    """
    text, curl = GREETING, "curl"
    if socket:
        curl = f"curl --unix-socket {shlex.quote(os.path.abspath(socket))}"
    else:  # no variable tells a client of a socket
        text += VARIABLES
    return text.format(curl=curl, base=base_url, key=key)
