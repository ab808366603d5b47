"""The magics: they parse, ask, show the answer and keep the conversation."""

from __future__ import annotations

import atexit
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)
from traitlets import Float, Unicode

from ..connection import Connection
from .arguments import Arguments, keep_question, parse_cell, parse_line
from .client import Answer, Client
from .display import output_for
from .errors import Interrupted
from .gateway import EmbeddedGateway, find_connection

ON_SOCKET = """\
This gateway listens on the unix socket {path}, not on a port.
An OpenAI client reaches it with httpx2 (before openai 3: httpx). Here gateway is the
result of %claude_gateway:

OpenAI(
    base_url=gateway.http_url,
    api_key=gateway.api_key,
    http_client=httpx2.Client(transport=httpx2.HTTPTransport(uds=gateway.socket)),
)"""


@magics_class
class ClaudeMagics(Magics):
    """`%%claude`, `%claude` and `%claude_gateway`."""

    model = Unicode("sonnet", config=True, help="The model for cells that name none.")
    updates_per_second = Float(
        15.0,
        config=True,
        help="""Maximum number of updates per second of a growing answer; 0 shows only
        the whole answer.""",
    )
    start_timeout_seconds = Float(
        60.0, config=True, help="Maximum time for the embedded gateway to start."
    )

    def __init__(self, shell: InteractiveShell, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self._messages: list[dict[str, str]] = []
        self._system: str | None = None
        self._client: Client | None = None
        self._embedded = EmbeddedGateway(self.start_timeout_seconds)
        atexit.register(self.close)

    @no_var_expand
    @line_cell_magic
    def claude(self, line: str, cell: str | None = None) -> None:
        """Ask Claude; the answer streams into the cell.

        ::

          %%claude [-m MODEL] [-s SYSTEM] [-n]
          The prompt, verbatim.

          %claude [-m MODEL] [-s SYSTEM] [-n] The prompt, on one line.

        The conversation continues from cell to cell, until ``--new``.

        -m, --model MODEL    the model to ask
        -s, --system TEXT    the system prompt; it stays until it is changed
        -n, --new            start a new conversation
        """
        arguments = parse_line(line) if cell is None else parse_cell(line, cell)
        if arguments.new:
            self._messages, self._system = [], None
        if arguments.system is not None:
            self._system = arguments.system
        self._ask(arguments)

    @line_magic
    def claude_gateway(self, line: str) -> Connection:
        """The gateway of this kernel, for OpenAI clients.

        ::

          gateway = %claude_gateway
          OpenAI(base_url=gateway.base_url, api_key=gateway.api_key)
        """
        connection = self._connection()
        if connection.socket:
            print(ON_SOCKET.format(path=connection.socket))
        return connection

    def close(self) -> None:
        """Close the connection, and stop the gateway if this kernel started it."""
        atexit.unregister(self.close)
        if self._client is not None:
            self._client.close()
            self._client = None
        self._embedded.stop()

    def _ask(self, arguments: Arguments) -> None:
        question = {"role": "user", "content": arguments.prompt}
        system = [{"role": "system", "content": self._system}] if self._system else []
        assert self.shell is not None
        output = output_for(self.shell, self.updates_per_second)
        answer = Answer()
        try:
            messages = [*system, *self._messages, question]
            for answer in self._connect().ask(messages, arguments.model or self.model):
                output.show(answer)
        except KeyboardInterrupt:
            self._keep(question, answer)
            raise Interrupted("the answer ends here") from None
        else:
            self._keep(question, answer)
        finally:
            output.finish(answer)

    def _keep(self, question: dict[str, str], answer: Answer) -> None:
        if answer.text:
            reply = {"role": "assistant", "content": answer.text}
            self._messages += [question, reply]

    def _connection(self) -> Connection:
        return find_connection() or self._embedded.connection()

    def _connect(self) -> Client:
        connection = self._connection()
        if self._client is None or self._client.connection != connection:
            if self._client is not None:
                self._client.close()
            self._client = Client(connection)
        return self._client


def load(shell: InteractiveShell) -> None:
    """Register the magics in `shell`."""
    shell.register_magics(ClaudeMagics(shell))
    shell.input_transformers_cleanup.append(keep_question)


def unload(shell: InteractiveShell) -> None:
    """Remove the magics from `shell`; IPython has no function for this."""
    manager = shell.magics_manager
    if keep_question in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(keep_question)
    magics = manager.registry.pop(ClaudeMagics.__name__, None)
    if isinstance(magics, ClaudeMagics):
        for kind, names in magics.magics.items():
            for name in names:
                manager.magics[kind].pop(name, None)
        configurables: list[Any] = shell.configurables
        configurables.remove(magics)
        magics.close()
