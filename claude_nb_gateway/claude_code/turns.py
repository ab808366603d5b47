"""What is asked of the model: a conversation of turns, in the CLI's terms."""

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

#: What is put between the texts of two messages of the model in one answer: it has
#: used tools of its own in between.
BETWEEN_MESSAGES = "\n\n"


@dataclass(frozen=True)
class Turn:
    """One turn; `content` are Messages API content blocks."""

    role: Role
    content: list[ContentBlock]


@dataclass(frozen=True)
class Tool:
    """A function of the client's, as the model is told of it.

    `input_schema` is its JSON schema, as text; `renamed` are the properties that have
    another name there than the client gave them, each with that name. `left_out` are
    the keywords of the client's schema that are not in it.
    """

    name: str
    description: str
    input_schema: str
    renamed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class CallRule:
    """What the answer must do about calls.

    Parameters
    ----------
    words:
        How the model is told so.
    allowed:
        The tools that may be called, by the CLI's names; None for all.
    required:
        Whether one must be.
    one_at_a_time:
        Whether there must be no more than one call.
    strict:
        The schemas, as text, that the arguments of calls must match, by the CLI's
        names of the tools.
    """

    words: str = ""
    allowed: frozenset[str] | None = None
    required: bool = False
    one_at_a_time: bool = False
    strict: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AnswerRule:
    """What the answer must be that the CLI does not see to.

    Parameters
    ----------
    words:
        How the model is told so, with the question; empty where it is not.
    schema:
        The JSON schema, as text, that it must match.
    """

    words: str = ""
    schema: str = "{}"


@dataclass(frozen=True)
class Setup:
    """What a session is bound to for as long as it lives.

    Parameters
    ----------
    model:
        As the client named it; None asks for the configured default.
    system:
        The system prompt's parts, in order.
    effort:
        One of the CLI's effort levels, None for the model's own default.
    principal:
        Who asks; nobody else may continue the conversation.
    tools:
        The functions the model may call.
    schema:
        The JSON schema of the answer, as text; empty where the answer is text.
    profile:
        Where it runs, and what Claude may do there.
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
    """What the fields of the client's request are called, for errors about them.

    Parameters
    ----------
    messages:
        The field with what is said.
    answer:
        The field with the format of the answer.
    tools:
        The fields with the schemas of the setup's tools, in their order.
    """

    messages: str = "messages"
    answer: str = "response_format"
    tools: tuple[str, ...] = ()

    def of_tool(self, index: int) -> str:
        """The field of the tool at `index` of the setup's."""
        return self.tools[index] if index < len(self.tools) else f"tools[{index}]"


@dataclass(frozen=True)
class Conversation:
    """A question with everything that went before it.

    Parameters
    ----------
    history:
        The turns before the question, in order, roles as the client had them.
    question:
        The content blocks of the last user turn.
    max_output_tokens:
        Where the answer is cut, None for the model's limit.
    rule:
        What is asked of the answer's calls; None for nothing.
    answer_rule:
        What is asked of the answer itself; None for nothing.
    left_out:
        The fields of the request, keywords of schemas, that cannot be asked for.
    session_id:
        The session that is asked, which holds the history already; empty for any.
    begun:
        Whether that session must have a transcript.
    prompt:
        What of the setup's system prompt is the client's own.
    stop:
        The texts before which the answer ends.
    names:
        What the client calls the fields that this was made of.
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
        """Whether Claude may say something, use tools of its own, and go on."""
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
        """What identifies the conversation up to and with each of its `turns`.

        Two conversations have a digest in common if they agree in their setup
        and in all turns so far, but for what clients change in passing: how an
        assistant's text is cut into parts, white space at its ends, and how the
        arguments of a call are written.
        """
        return self._digests

    @cached_property
    def _digests(self) -> Sequence[bytes]:
        # To hash images and a long history takes a while.
        return tuple(_chain(_digest(b"", self.setup), self.turns))

    def held_by(self) -> list[bytes]:
        """The digests of what a session may hold of it, to be asked the rest.

        Results of calls and nothing else are for the session that waits for just
        them, and was told what this question tells (see `digest_waiting`).
        """
        *before, _ = self.digests()
        if self.history and self.answers_calls:
            before[-1] = digest_waiting(before[-1], self.passing_words)
        return before

    @property
    def passing_words(self) -> str:
        """What the model is told of its answer that is no part of the conversation.

        A turn in which it was told something else is not the one to go on with. Where
        what was done is in a session alone, no other turn will do.
        """
        if self.has_own_turns or self.answer_rule is None:
            return ""
        return self.answer_rule.words

    @property
    def answers_calls(self) -> bool:
        """Whether the question is the results of the calls before it, and no more.

        Empty results do not count: the CLI would put words of its own for them.
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
    """The digest once the model has said `answer` to the turn of `digest`."""
    (after,) = _chain(digest, [Turn("assistant", list(answer))])
    return after


def digest_waiting(digest: bytes, passing_words: str = "") -> bytes:
    """Where a session stands that waits for the results of its calls at `digest`.

    In its turn it was told `passing_words`.
    """
    return _digest(digest, ("waiting", passing_words))


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
