"""What can be wrong with a turn, as the CLI's messages tell. Pure."""

from __future__ import annotations

from ..claude_code.failures import failure, unrecoverable
from ..claude_code.protocol import STRUCTURED_OUTPUT, Result, System
from ..claude_code.tools import name_for_cli, ungranted_tools
from ..claude_code.turns import Conversation, Setup
from ..errors import (
    GatewayError,
    InvalidRequest,
    ProtocolError,
    TurnAborted,
    quoted,
)
from .events import TurnMessage


def error_in(
    message: TurnMessage, conversation: Conversation, *, stopped: bool
) -> GatewayError | None:
    """The error that ends the turn at `message`, None if there is none.

    Parameters
    ----------
    stopped:
        Whether somebody has stopped the turn. The end that follows is no error then.
    """
    if isinstance(message, System):
        return unrecoverable(message) or tools_error(message, conversation)
    if isinstance(message, Result) and message.is_error:
        if message.was_interrupted:
            return None if stopped else TurnAborted()
        if message.stop_reason == "refusal":
            return None  # it is an answer, of its own kind
        return failure(message, conversation.names.messages)
    return None


def tools_error(
    message: System | None, conversation: Conversation
) -> GatewayError | None:
    """The error if the tools that `message` lists are wrong, else None."""
    if message is None or message.subtype != "init":
        return None
    listed = frozenset(message.tools or [])
    return _left_out(listed, conversation) or _not_granted(listed, conversation.setup)


def _left_out(
    listed: frozenset[str], conversation: Conversation
) -> GatewayError | None:
    setup, names = conversation.setup, conversation.names
    # The CLI does not report a schema that it cannot use: the tool is just not there.
    if setup.schema and STRUCTURED_OUTPUT not in listed:
        return InvalidRequest(
            f"`{names.answer}`: the Claude Code CLI cannot use this schema.",
            param=names.answer,
        )
    for index, tool in enumerate(setup.tools):
        if name_for_cli(tool.name) not in listed:
            where = names.of_tool(index)
            return InvalidRequest(
                f"`{where}`: the Claude Code CLI cannot use the tool "
                f"{quoted(tool.name)} with this schema, and would leave it out.",
                param=where,
            )
    return None


def _not_granted(listed: frozenset[str], setup: Setup) -> GatewayError | None:
    beyond = ungranted_tools(listed, setup)
    if not beyond:
        return None
    return ProtocolError(
        "The Claude Code CLI gave the model tools that this request may not use, so "
        "the turn was stopped; the server's log names them.",
        detail=f"tools beyond those granted: {', '.join(sorted(beyond))}",
    )
