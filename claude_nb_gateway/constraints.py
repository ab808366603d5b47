"""What the answer must do about calls, which the CLI cannot be told. Pure.

The model is asked for it in words; here its messages are checked before anything of
them is passed on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .claude.protocol import (
    Assistant,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Message,
    MessageDelta,
    MessageStart,
    Result,
    StreamEvent,
    System,
)
from .claude.turns import CallRule
from .errors import ConstraintUnmet

# With these the answer has ended for a reason of its own.
CUT_SHORT = ("max_tokens", "model_context_window_exceeded", "refusal")

# One request more is made of a model that did not obey, and no further one.
MOST_CORRECTIONS = 1


@dataclass
class CallFilter:
    """Passes on what of an answer obeys `rule`.

    `refused` are the calls of the model's last message that do not, by id: they
    have to be answered by something else than the client. `corrections` counts how
    often the model had to be told again.
    """

    rule: CallRule
    tools: frozenset[str]
    refused: list[str] = field(default_factory=list)
    corrections: int = 0
    _shown: int = 0
    _hidden: set[int] = field(default_factory=set)
    _held: list[Message] = field(default_factory=list)
    _cut_short: bool = False

    @property
    def satisfied(self) -> bool:
        """Whether there is nothing more to ask for."""
        return self._shown > 0 or self._cut_short or not self.rule.required

    def feed(self, message: Message) -> list[Message]:
        """What can be passed on now that `message` has come."""
        if isinstance(message, Result) and message.is_error:
            self._cut_short = True
        elif isinstance(message, StreamEvent):
            if message.parent_tool_use_id is not None:
                return []
            if self._is_hidden(message):
                return []
        elif isinstance(message, Assistant):
            calls = [block.get("id") for block in message.message.content]
            if any(call in self.refused for call in calls):
                return []
        if isinstance(message, System):
            return [message]
        self._held.append(message)
        return self._release() if self.satisfied else []

    def correct(self) -> None:
        """Begin anew: the model is about to be told again.

        Raises
        ------
        ConstraintUnmet
            It was told already.
        """
        if self.corrections == MOST_CORRECTIONS:
            raise ConstraintUnmet(self.rule.words)
        self.corrections += 1
        self._held.clear()

    def all_refused(self) -> bool:
        """Whether the model's last message has calls, but none for the client."""
        return bool(self.refused) and not self._shown

    def _release(self) -> list[Message]:
        held, self._held = self._held, []
        return held

    def _is_hidden(self, message: StreamEvent) -> bool:
        event = message.event
        if isinstance(event, MessageStart):
            self._shown = 0
            self._hidden.clear()
            self.refused.clear()
        elif isinstance(event, ContentBlockStart):
            name = event.content_block.get("name", "")
            if name in self.tools and not self._allows(name):
                self._hidden.add(event.index)
                self.refused.append(event.content_block["id"])
            elif name in self.tools:
                self._shown += 1
        elif isinstance(event, MessageDelta):
            self._cut_short |= event.delta.stop_reason in CUT_SHORT
        if isinstance(event, ContentBlockStart | ContentBlockDelta | ContentBlockStop):
            return event.index in self._hidden
        return False

    def _allows(self, name: str) -> bool:
        rule = self.rule
        if rule.allowed is not None and name not in rule.allowed:
            return False
        return self._shown == 0 or not rule.one_at_a_time
