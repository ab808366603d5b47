"""Which messages of the CLI answer the question, and which belong to a turn of its own.

The CLI begins turns by itself, for example when work in the background has ended. Their
messages look like those of any other turn.
"""

from __future__ import annotations

from enum import Enum, auto

from . import protocol
from .protocol import Message


class Belongs(Enum):
    """Where a message belongs."""

    TO_ANSWER = auto()
    #: To a turn that nobody asked for.
    TO_OTHER_TURN = auto()
    #: To no turn.
    NOWHERE = auto()


class Question:
    """The user turn that the session has sent last.

    The CLI says when it starts with a user turn, and a `Result` names the user turns
    that it answers. Between the two a message belongs to the answer.
    """

    def __init__(self) -> None:
        self._uuid = ""
        self._started = False
        # Whether this CLI says when it starts; older ones do not.
        self._announces = False

    def sent(self, uuid: str) -> None:
        """A user turn with this id is sent now."""
        self._uuid, self._started = uuid, False

    def note_start(self, message: protocol.CommandLifecycle) -> bool:
        """Note what the CLI starts with; returns whether that is the question."""
        self._announces = True
        if message.command_uuid != self._uuid or message.state != "started":
            return False
        self._started = True
        return True

    def place(self, message: Message) -> Belongs:
        """Where `message` belongs; the `Result` of the question ends it."""
        if is_init(message) and self._uuid and not self._announces:
            self._started = True
        if self._started and self._is_of_answer(message):
            if isinstance(message, protocol.Result):
                self._uuid, self._started = "", False
            return Belongs.TO_ANSWER
        if _is_of_turn(message):
            return Belongs.TO_OTHER_TURN
        if isinstance(message, protocol.RateLimitEvent):
            return Belongs.TO_ANSWER
        return Belongs.NOWHERE

    def _is_of_answer(self, message: Message) -> bool:
        if not isinstance(message, protocol.Result):
            return True
        answered = message.user_message_uuids
        return answered is None or self._uuid in answered


def is_init(message: Message) -> bool:
    """Whether the CLI says in `message` what a turn begins with: model, tools, …"""
    return isinstance(message, protocol.System) and message.subtype == "init"


def _is_of_turn(message: Message) -> bool:
    """Whether the CLI sends `message` only in turns; a sub-agent has no turns."""
    if isinstance(message, protocol.StreamEvent | protocol.Assistant):
        return message.parent_tool_use_id is None
    return isinstance(message, protocol.Result) or is_init(message)
