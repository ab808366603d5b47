"""A conversation as Claude Code has it: turns, tools, and what the answer must be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec

from .profile import CHAT, Profile

ContentBlock = dict[str, Any]
Role = Literal["user", "assistant"]

#: Stands between the texts of two messages of the model in one answer. It has used
#: tools of Claude Code in between.
BETWEEN_MESSAGES = "\n\n"


@dataclass(frozen=True)
class Turn:
    """One turn; `content` are Messages API content blocks."""

    role: Role
    content: list[ContentBlock]


@dataclass(frozen=True)
class Tool:
    """A function of the client, as the model sees it.

    Parameters
    ----------
    name, description:
        Those of the client.
    input_schema:
        The JSON schema of its arguments, as text.
    renamed:
        The properties that have another name in `input_schema` than in the client's
        schema: pairs of the client's name and that one.
    left_out:
        The keywords of the client's schema that are not in `input_schema`.
    """

    name: str
    description: str
    input_schema: str
    renamed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class CallRule:
    """Which calls the answer may and must have.

    Parameters
    ----------
    words:
        The rule in words, for the model.
    allowed:
        The CLI's names of the tools that may be called; None for all.
    required:
        Whether a tool must be called.
    one_at_a_time:
        Whether there may be one call at most.
    strict:
        For each tool, by the CLI's name, the schema that the arguments must match, as
        text.
    """

    words: str = ""
    allowed: frozenset[str] | None = None
    required: bool = False
    one_at_a_time: bool = False
    strict: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AnswerRule:
    """What the answer must match, beyond what the CLI checks.

    Parameters
    ----------
    words:
        The rule in words, which the model gets with the question; empty for none.
    schema:
        The JSON schema, as text, that the answer must match.
    """

    words: str = ""
    schema: str = "{}"


@dataclass(frozen=True)
class Setup:
    """What a conversation is held with, the same in each of its turns.

    Parameters
    ----------
    model:
        The client's name for it; None is the configured default.
    system:
        The parts of the system prompt, in order.
    effort:
        One of the CLI's effort levels; None is the model's own default.
    principal:
        Who asks. Nobody else can continue the conversation.
    tools:
        The client's functions.
    schema:
        The JSON schema of the answer, as text; empty if the answer is text.
    profile:
        Where the CLI runs, and what Claude may do there.
    """

    model: str | None
    system: tuple[str, ...] = ()
    effort: str | None = None
    principal: str = ""
    tools: tuple[Tool, ...] = ()
    schema: str = ""
    profile: Profile = CHAT

    @property
    def binding(self) -> tuple[object, ...]:
        """What a session is bound to for as long as it lives.

        The rest can change from turn to turn, and who asks does not reach the CLI.
        """
        return self.system, self.tools, self.schema, self.profile


@dataclass(frozen=True)
class FieldNames:
    """The names of fields in the client's request, for errors about them.

    Parameters
    ----------
    messages:
        The field with the conversation.
    answer:
        The field with the format of the answer.
    tools:
        The fields with the schemas of the setup's tools, in the order of the tools.
    """

    messages: str = "messages"
    answer: str = "response_format"
    tools: tuple[str, ...] = ()

    def of_tool(self, index: int) -> str:
        """The field with the schema of the setup's tool at `index`."""
        return self.tools[index] if index < len(self.tools) else f"tools[{index}]"


@dataclass(frozen=True)
class Conversation:
    """A question with everything that came before it.

    Parameters
    ----------
    history:
        The turns before the question, in order, with the client's roles.
    question:
        The content blocks of the last user turn.
    max_output_tokens:
        Maximum length of the answer, None for the model's own limit.
    rule:
        The rule for the answer's calls; None for none.
    answer_rule:
        The rule for the answer itself; None for none.
    left_out:
        The paths of the keywords in the client's schemas that the CLI does not get.
    session_id:
        The session to ask, which has the history already; empty for any session.
    begun:
        Whether that session must have a transcript.
    prompt:
        The parts of the setup's system prompt that come from the client.
    stop:
        The texts at which the answer ends; it has none of them.
    names:
        The names of the request's fields.
    """

    setup: Setup
    history: tuple[Turn, ...]
    question: list[ContentBlock] = field(default_factory=list)
    max_output_tokens: int | None = None
    rule: CallRule | None = None
    answer_rule: AnswerRule | None = None
    left_out: tuple[str, ...] = ()
    session_id: str = ""
    begun: bool = False
    prompt: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    names: FieldNames = FieldNames()

    @property
    def has_own_turns(self) -> bool:
        """Whether Claude may use tools of its own, and go on with its answer."""
        return bool(self.setup.profile.directory or self.session_id)

    @property
    def results(self) -> frozenset[str]:
        """The ids of the calls whose results the question brings."""
        return frozenset(
            block["tool_use_id"]
            for block in self.question
            if block["type"] == "tool_result"
        )

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The history and the question."""
        return (*self.history, Turn("user", self.question))

    def digests(self) -> Sequence[bytes]:
        """For each of the `turns`, what identifies the conversation up to it.

        Two conversations have a digest in common if their setups and all turns up to
        there are the same. What clients change on the way does not count: how an
        assistant's text is cut into parts, white space at its ends, and how the
        arguments of a call are written. The effort counts, since a change of it within
        a session leaves a mark in what the model gets.
        """
        return self._digests

    @cached_property
    def _digests(self) -> Sequence[bytes]:
        # Kept, since images and a long history take long to hash.
        return tuple(_chain(_digest(b"", self.setup), self.turns))

    def held_by(self) -> list[bytes]:
        """The digests of the sessions that can be asked this question.

        They have the history up to some turn. If the question is the results of calls
        and nothing else, the session must wait for just these results, in a turn with
        the same instructions (see `digest_waiting`).
        """
        *before, _ = self.digests()
        if self.history and self.answers_calls:
            before[-1] = digest_waiting(before[-1], self.hidden_instructions)
        return before

    @property
    def hidden_instructions(self) -> str:
        """Instructions about the answer that the client's history does not contain.

        Results of calls go only to a session whose turn had the same instructions.
        Empty if Claude has turns of its own.
        """
        if self.has_own_turns or self.answer_rule is None:
            return ""
        return self.answer_rule.words

    @property
    def answers_calls(self) -> bool:
        """Whether the question is the results of all calls before it, and no more.

        Empty results do not count: the CLI would replace them by words of its own.
        """
        called = set(calls_in(self.history[-1].content))
        answered = {
            block["tool_use_id"]
            for block in self.question
            if block["type"] == "tool_result" and block["content"]
        }
        return called == answered and len(answered) == len(self.question)


def calls_in(content: Iterable[ContentBlock]) -> list[str]:
    """The ids of the calls in `content`."""
    return [block["id"] for block in content if block["type"] == "tool_use"]


def digest_after(digest: bytes, answer: Sequence[ContentBlock]) -> bytes:
    """The digest after the model's `answer` to the turn of `digest`."""
    (after,) = _chain(digest, [Turn("assistant", list(answer))])
    return after


def digest_waiting(digest: bytes, hidden_instructions: str = "") -> bytes:
    """The position of a session that waits for the results of its calls at `digest`.

    Its turn had these `hidden_instructions` (see `Conversation`).
    """
    return _digest(digest, ("waiting", hidden_instructions))


def _chain(digest: bytes, turns: Iterable[Turn]) -> Iterator[bytes]:
    for turn in turns:
        content: Any = turn.content
        if turn.role == "assistant":
            content = _in_normal_form(content)
        digest = _digest(digest, (turn.role, content))
        yield digest


def _in_normal_form(answer: Sequence[ContentBlock]) -> Any:
    text = "".join(block["text"] for block in answer if block["type"] == "text")
    calls = [
        (block["id"], block["name"], block["input"])
        for block in answer
        if block["type"] == "tool_use"
    ]
    return text.strip(), calls


def _digest(before: bytes, value: Any) -> bytes:
    data = msgspec.json.encode(value, order="deterministic")
    return hashlib.blake2b(before + data, digest_size=16).digest()
