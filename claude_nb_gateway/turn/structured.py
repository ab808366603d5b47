"""Answers in JSON: checks them where the CLI does not.

An answer is kept back until it is checked. Pure, except for the check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from ..claude_code.protocol import (
    STRUCTURED_OUTPUT,
    Assistant,
    ContentBlockDelta,
    ContentBlockStart,
    MessageDelta,
    MessageStart,
    Result,
    StreamEvent,
)
from ..claude_code.turns import AnswerRule
from ..errors import ConstraintUnmet
from .events import TurnMessage
from .tool_rules import CUT_SHORT, MOST_CORRECTIONS, Mismatch

_FENCED = re.compile(r"\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*", re.DOTALL)


@dataclass
class AnswerFilter:
    """Passes on an answer that obeys `rule`, or that ends in calls of `tools`.

    `structured`: the model writes the answer as arguments of the CLI's own tool.
    `wrong`: what was wrong with the last answer, which was kept back; else empty.
    `parameter`: the field of the request with the format.
    """

    rule: AnswerRule
    tools: frozenset[str]
    structured: bool
    mismatch: Mismatch
    parameter: str
    wrong: str = ""
    _corrections: int = 0
    _calls: bool = False
    _text: list[str] = field(default_factory=list)
    _held: list[TurnMessage] = field(default_factory=list)

    async def feed(self, message: TurnMessage) -> list[TurnMessage]:
        """The messages that can be passed on after `message`."""
        if not isinstance(message, StreamEvent | Assistant | Result):
            return [message]
        if getattr(message, "parent_tool_use_id", None) is not None:
            return []
        event = message.event if isinstance(message, StreamEvent) else None
        if isinstance(event, MessageStart):
            # The answer is the model's last message.
            self._begin()
        self._held.append(message)
        if isinstance(message, Result):
            return await self._end(message)
        if isinstance(message, Assistant):
            self._text += [block.get("text", "") for block in message.message.content]
        elif isinstance(event, ContentBlockStart):
            self._calls |= event.content_block.get("name") in self.tools
        elif isinstance(event, MessageDelta):
            reason = event.delta.stop_reason
            if (self._calls and reason == "tool_use") or reason in CUT_SHORT:
                return self._release()
        return []

    def correct(self) -> str:
        """Start again; returns what to tell the model.

        Raises
        ------
        ConstraintUnmet
            The model was asked once more already.
        """
        if self._corrections == MOST_CORRECTIONS:
            raise ConstraintUnmet(
                f"You must answer with JSON that matches `{self.parameter}`: "
                f"{self.wrong}",
                param=self.parameter,
            )
        self._corrections += 1
        how = "with JSON alone: no other words, no code fence"
        if self.structured:
            how = f"by a call of {STRUCTURED_OUTPUT}"
        words = f"Your answer does not match what was asked. {self.wrong}"
        self.wrong = ""
        return f"{words} You must answer again, whole and corrected, {how}."

    def _begin(self) -> None:
        self._calls = False
        self._text.clear()
        self._held.clear()

    async def _end(self, result: Result) -> list[TurnMessage]:
        if result.is_error or result.stop_reason in CUT_SHORT:
            return self._release()
        said = "".join(self._text)
        value = _json_in(said)
        if self.structured:
            if result.structured_output is None:
                return self._release()
            value = json.dumps(result.structured_output)
        self.wrong = await self.mismatch(self.rule.schema, value, self.parameter)
        if self.wrong:
            self._begin()
            return []
        if not self.structured and value != said:
            self._held = list(_with_text(self._held, value))
        return self._release()

    def _release(self) -> list[TurnMessage]:
        held, self._held = self._held, []
        return held


def _json_in(text: str) -> str:
    fenced = _FENCED.fullmatch(text)
    return text if fenced is None else fenced[1]


def _with_text(messages: Iterable[TurnMessage], text: str) -> Iterator[TurnMessage]:
    """The same messages, with `text` in place of their text."""
    streamed = whole = text
    for message in messages:
        if isinstance(message, Assistant):
            blocks: list[dict[str, Any]] = []
            for block in message.message.content:
                if block["type"] == "text":
                    block, whole = {**block, "text": whole}, ""
                blocks.append(block)
            yield replace(message, message=replace(message.message, content=blocks))
        elif isinstance(message, StreamEvent) and (
            isinstance(message.event, ContentBlockDelta) and message.event.delta.text
        ):
            delta = replace(message.event.delta, text=streamed)
            streamed = ""
            yield replace(message, event=replace(message.event, delta=delta))
        else:
            yield message


class StructuredAnswer:
    """Follows an answer with a schema, which the model writes as arguments.

    A streamed answer is passed on while it is written, so it is too late when the CLI
    asks again because it does not match. Otherwise only the answer that matches is
    passed on.
    """

    def __init__(self, parameter: str, *, streamed: bool) -> None:
        self._parameter = parameter
        self._streamed = streamed
        self._open = False
        self._text = ""

    def start(self, block: Mapping[str, Any]) -> None:
        """A content block begins."""
        self._open = block.get("name") == STRUCTURED_OUTPUT
        if self._open and self._text and self._streamed:
            raise self._unmet()
        if self._open:
            self._text = ""

    def add(self, fragment: str) -> str:
        """A content block grows; returns what to pass on."""
        if not self._open:
            return ""
        self._text += fragment
        return fragment if self._streamed else ""

    def finish(self, result: Result) -> str:
        """The turn has ended; returns what is left to pass on.

        Raises
        ------
        ConstraintUnmet
            No answer of the model matches.
        """
        if result.structured_output is None:
            raise self._unmet()
        if self._streamed and self._text:
            return ""
        return self._text or result.result or ""

    def _unmet(self) -> ConstraintUnmet:
        return ConstraintUnmet(
            f"You must answer in the format of `{self._parameter}`.",
            param=self._parameter,
        )
