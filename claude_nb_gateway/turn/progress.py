"""What of an answer the client has seen, and where the session is then. Pure."""

from __future__ import annotations

from ..claude_code.protocol import Assistant, MessageDelta, StreamEvent
from ..claude_code.tools import is_unparsed, name_for_cli
from ..claude_code.turns import (
    BETWEEN_MESSAGES,
    ContentBlock,
    Conversation,
    digest_after,
    digest_waiting,
)
from .events import TurnMessage


class Progress:
    """The content blocks of the answer that the client sees.

    Parameters
    ----------
    conversation:
        The question with its history.

    Attributes
    ----------
    calls : list of str
        The ids of the calls of the client's functions.
    message_id : str
        The id of the model's last message with something in it for the client.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.calls: list[str] = []
        self.message_id = ""
        self._conversation = conversation
        self._blocks: list[ContentBlock] = []
        tools = conversation.setup.tools
        self._tools = {name_for_cli(tool.name) for tool in tools}

    def add(self, message: TurnMessage) -> None:
        """Add what the client sees of `message`."""
        if not isinstance(message, Assistant) or message.parent_tool_use_id is not None:
            return
        for block in message.message.content:
            if block["type"] == "tool_use":
                if block["name"] not in self._tools:
                    continue
                self.calls.append(block["id"])
            elif block["type"] == "text" and self._is_paragraph(message.message.id):
                self._blocks.append({"type": "text", "text": BETWEEN_MESSAGES})
            self.message_id = message.message.id
            self._blocks.append(block)

    def _is_paragraph(self, message_id: str) -> bool:
        has_text = any(block["type"] == "text" for block in self._blocks)
        is_another = message_id != self.message_id
        return has_text and self._conversation.has_own_turns and is_another

    @property
    def has_unparsed_calls(self) -> bool:
        """Whether a call has arguments that are no JSON object."""
        return any(map(is_unparsed, self._blocks))

    @property
    def position(self) -> bytes:
        """Where the conversation is after this answer."""
        if self._conversation.session_id:
            # Its client may send less than the whole history. Only the id leads there.
            return b"session " + self._conversation.session_id.encode()
        *_, asked = self._conversation.digests()
        return digest_after(asked, self._blocks)

    @property
    def position_waiting(self) -> bytes:
        """Where the conversation is while it waits for the results of these calls."""
        return digest_waiting(self.position, self._conversation.hidden_instructions)


def ends_in_calls(message: TurnMessage) -> bool:
    """Whether the model's message ends here because it calls tools."""
    return (
        isinstance(message, StreamEvent)
        and message.parent_tool_use_id is None
        and isinstance(message.event, MessageDelta)
        and message.event.delta.stop_reason == "tool_use"
    )
