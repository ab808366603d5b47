"""Rules for the calls in an answer, for which the CLI has no option. Pure.

The model is asked in words. This module checks its messages before they are passed on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..claude_code.protocol import (
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
from ..claude_code.turns import CallRule
from ..errors import ConstraintUnmet

# Reasons to end an answer that have nothing to do with its calls.
CUT_SHORT = ("max_tokens", "model_context_window_exceeded", "refusal")

#: Takes a schema and a value, both JSON as text, and the field with the schema. Says
#: what does not match. See `schemas.SchemaChecker.mismatch`.
Mismatch = Callable[[str, str, str], Awaitable[str]]

# A model that does not obey is asked once more, and not again.
MOST_CORRECTIONS = 1


@dataclass
class _StrictCall:
    """A call that is kept back until its arguments are checked."""

    id: str
    schema: str
    arguments: str = ""
    messages: list[Message] = field(default_factory=list)


@dataclass
class CallFilter:
    """Passes on the parts of an answer that obey `rule`.

    `refused`: the ids of the calls in the model's last message that do not obey. The
    client never sees them, so the gateway has to answer them. `corrections`: how often
    the model was asked again. Strict tools need `mismatch`.
    """

    rule: CallRule
    tools: frozenset[str]
    mismatch: Mismatch | None = None
    refused: list[str] = field(default_factory=list)
    corrections: int = 0
    _shown: int = 0
    _hidden: set[int] = field(default_factory=set)
    _mismatches: list[str] = field(default_factory=list)
    _held: list[Message] = field(default_factory=list)
    _cut_short: bool = False
    _unchecked: _StrictCall | None = None

    @property
    def reason(self) -> str:
        """The answer to the refused calls."""
        said = ["This call was not made.", self.rule.words, *self._mismatches]
        return " ".join(said)

    @property
    def parameter(self) -> str:
        """The field of the request that the model did not obey."""
        return "tools" if self._mismatches else "tool_choice"

    @property
    def satisfied(self) -> bool:
        """Whether the answer obeys, so that the model need not be asked again."""
        return self._shown > 0 or self._cut_short or not self.rule.required

    async def feed(self, message: Message) -> list[Message]:
        """The messages that can be passed on after `message`."""
        if isinstance(message, System):
            return [message]
        if self._unchecked is not None and not _ends_call(message):
            return await self._check(self._unchecked, message)
        self._unchecked = None
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
        self._held.append(message)
        if self._unchecked is not None:
            self._unchecked.messages.append(self._held.pop())
            return []
        # The HTTP status stays open until there is something to pass on.
        begins = isinstance(message, StreamEvent) and isinstance(
            message.event, MessageStart
        )
        return self._release() if self.satisfied and not begins else []

    async def _check(self, call: _StrictCall, message: Message) -> list[Message]:
        call.messages.append(message)
        event = message.event if isinstance(message, StreamEvent) else None
        if isinstance(event, ContentBlockDelta):
            call.arguments += event.delta.partial_json
        if not isinstance(event, ContentBlockStop):
            return []
        self._unchecked = None
        assert self.mismatch is not None, "strict tools need somebody to check them"
        arguments = call.arguments or "{}"
        if wrong := await self.mismatch(call.schema, arguments, "tools"):
            self._mismatches.append(wrong)
            self.refused.append(call.id)
            return []
        self._shown += 1
        self._held += call.messages
        return self._release()

    def correct(self) -> str:
        """Start again; returns what to tell the model, which is the rule again.

        Raises
        ------
        ConstraintUnmet
            The model was asked once more already.
        """
        if self.corrections == MOST_CORRECTIONS:
            raise ConstraintUnmet(self.rule.words)
        self.corrections += 1
        self._held.clear()
        return f"You have not done what was asked. {self.rule.words} Do it now."

    def all_refused(self) -> bool:
        """Whether the model's last message has calls, and the client gets none."""
        return bool(self.refused) and not self._shown

    def _release(self) -> list[Message]:
        held, self._held = self._held, []
        return held

    def _is_hidden(self, message: StreamEvent) -> bool:
        event = message.event
        if isinstance(event, MessageStart):
            self._shown = 0
            self._hidden.clear()
            self._mismatches.clear()
            self.refused.clear()
        elif isinstance(event, ContentBlockStart):
            name = event.content_block.get("name", "")
            if name in self.tools and not self._allows(name):
                self._hidden.add(event.index)
                self.refused.append(event.content_block["id"])
            elif name in self.rule.strict:
                schema = self.rule.strict[name]
                self._unchecked = _StrictCall(event.content_block["id"], schema)
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


def _ends_call(message: Message) -> bool:
    """Whether a call that is being written will not continue."""
    if isinstance(message, StreamEvent):
        return isinstance(message.event, MessageStart)
    return isinstance(message, Result)
