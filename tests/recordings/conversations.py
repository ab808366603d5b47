"""Ten conversations for each API: what is asked, and what the model answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from claude_nb_gateway.demo.model import Reply, ToolUse

Json = dict[str, Any]

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "inhabitants": {"type": "integer"}},
    "required": ["city", "inhabitants"],
    "additionalProperties": False,
}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


@dataclass(frozen=True)
class Step:
    """One request: the user's `text`, or the `results` of the calls before it.

    `replies` are the model's; the others are what a client may say beside the text.
    """

    text: str = ""
    replies: Sequence[Reply] = (Reply(["Well", ", ", "yes."]),)
    results: Sequence[tuple[str, str]] = ()
    system: str = ""
    tools: Sequence[str] = ()
    image: bool = False
    schema: bool = False
    effort: str = ""
    stop: Sequence[str] = ()
    limit: int = 0
    project: str = ""


@dataclass(frozen=True)
class Talk:
    """A conversation: `past` is a history that the client brings along."""

    steps: Sequence[Step]
    past: Sequence[tuple[str, str]] = ()


def call(name: str, call_id: str, *fragments: str) -> ToolUse:
    return ToolUse(name, fragments, id=call_id)


WEATHER = call("weather", "toolu_1", '{"ci', 'ty": "Rome"}')
BOTH = (WEATHER, call("time", "toolu_2", '{"city": ', '"Oslo"}'))
STRUCTURED = call(
    "StructuredOutput", "toolu_3", '{"city": "Rome",', ' "inhabitants": 3}'
)
READ = call("Read", "toolu_4", '{"file_path": "notes.txt"}')

TALKS = {
    "one-question": Talk([Step("Is it so?", system="Be brief.")]),
    "two-questions": Talk(
        [Step("Is it so? 你好"), Step("And why?", [Reply(["Because ", "of 🚀."])])]
    ),
    "history-brought-along": Talk(
        [Step("Say it again.")], past=[("My name is Ada.", "Hello Ada.")]
    ),
    "call-of-a-function": Talk(
        [
            Step("Weather?", [Reply(["Look"], tool_uses=[WEATHER])], tools=["weather"]),
            Step(results=[("toolu_1", "sunny")], tools=["weather"]),
        ]
    ),
    "two-calls-at-once": Talk(
        [
            Step("Both?", [Reply(tool_uses=BOTH)], tools=["weather", "time"]),
            Step(
                results=[("toolu_1", "sunny"), ("toolu_2", "noon")],
                tools=["weather", "time"],
            ),
        ]
    ),
    "thinking": Talk(
        [Step("Think.", [Reply(["42"], thinking=["Hm", ", so."])], effort="high")]
    ),
    "cut-at-a-limit": Talk(
        [Step("Long.", [Reply(["One ", "two"], stop_reason="max_tokens")], limit=2000)]
    ),
    "image": Talk([Step("What is it?", image=True)]),
    "answer-by-a-schema": Talk(
        [Step("Rome?", [Reply(tool_uses=[STRUCTURED]), Reply(["ok"])], schema=True)]
    ),
    "tool-of-claude-codes-own": Talk(
        [
            Step(
                "Read my notes.",
                [Reply(["Reading. "], tool_uses=[READ]), Reply(["They say ", "hi."])],
                project="work",
            )
        ]
    ),
    "error-of-the-model": Talk(
        [
            Step(
                "Hello?",
                [Reply(status=429, error_type="rate_limit_error", message="slow down")],
            )
        ]
    ),
    "stream-that-breaks-off": Talk(
        [Step("Go on.", [Reply(["a ", "b "], drop_after=1, delay_seconds=0.3)])]
    ),
}

# What the old API has: a prompt, a suffix of options, and no history.
COMPLETIONS: dict[str, list[tuple[Json, Sequence[Reply]]]] = {
    "one-prompt": [({"prompt": "Is it so?"}, [Reply(["Well", ", ", "yes."])])],
    "prompt-in-a-list": [({"prompt": ["Is it so?"]}, [Reply(["Yes."])])],
    "unicode": [({"prompt": "你好"}, [Reply(["🚀", " é"])])],
    "echo": [({"prompt": "One", "echo": True}, [Reply([" two"])])],
    "stop": [({"prompt": "Count.", "stop": "3"}, [Reply(["1 2 ", "3 4"])])],
    "cut-at-a-limit": [
        (
            {"prompt": "Long.", "max_tokens": 2000},
            [Reply(["One ", "two"], stop_reason="max_tokens")],
        )
    ],
    "usage": [
        (
            {"prompt": "Hi.", "stream_options": {"include_usage": True}},
            [Reply(["Hi."], usage={"input_tokens": 7, "output_tokens": 3})],
        )
    ],
    "ignored-fields": [
        ({"prompt": "Hi.", "temperature": 0.5, "seed": 1}, [Reply(["Hi."])])
    ],
    "error-of-the-model": [
        (
            {"prompt": "Hi."},
            [Reply(status=429, error_type="rate_limit_error", message="slow down")],
        )
    ],
    "stream-that-breaks-off": [
        ({"prompt": "Go."}, [Reply(["a ", "b "], drop_after=1, delay_seconds=0.3)])
    ],
}


@dataclass
class Client:
    """Says the steps of a talk in the words of one API, and keeps the history."""

    talk: Talk
    history: list[Json] = field(default_factory=list)

    def body(self, step: Step) -> Json:
        """The request of `step`."""
        raise NotImplementedError

    def answered(self, step: Step) -> None:
        """Keep what the model said to `step`."""
        raise NotImplementedError


def said(step: Step) -> str:
    return "".join("".join(reply.text) for reply in step.replies)


def calls(step: Step) -> list[ToolUse]:
    return [use for reply in step.replies for use in reply.tool_uses]


class ChatClient(Client):
    def __post_init__(self) -> None:
        for question, answer in self.talk.past:
            self.history += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]

    def body(self, step: Step) -> Json:
        content: Any = step.text
        if step.image:
            url = f"data:image/png;base64,{PIXEL}"
            content = [
                {"type": "text", "text": step.text},
                {"type": "image_url", "image_url": {"url": url}},
            ]
        if step.text:
            self.history.append({"role": "user", "content": content})
        for call_id, result in step.results:
            message = {"role": "tool", "tool_call_id": call_id, "content": result}
            self.history.append(message)
        system = [{"role": "system", "content": step.system}] if step.system else []
        body: Json = {"messages": [*system, *self.history]}
        if step.tools:
            body["tools"] = [
                {"type": "function", "function": {"name": n, "parameters": PARAMETERS}}
                for n in step.tools
            ]
        if step.schema:
            schema = {"name": "city", "schema": SCHEMA, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if step.effort:
            body["reasoning_effort"] = step.effort
        if step.limit:
            body["max_completion_tokens"] = step.limit
        return body | {"stream_options": {"include_usage": True}}

    def answered(self, step: Step) -> None:
        message: Json = {"role": "assistant", "content": said(step) or None}
        if calls(step):
            message["tool_calls"] = [
                {
                    "id": use.id,
                    "type": "function",
                    "function": {"name": use.name, "arguments": "".join(use.fragments)},
                }
                for use in calls(step)
            ]
        self.history.append(message)


class MessagesClient(Client):
    def __post_init__(self) -> None:
        for question, answer in self.talk.past:
            self.history += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]

    def body(self, step: Step) -> Json:
        content: list[Json] = [
            {"type": "tool_result", "tool_use_id": call_id, "content": result}
            for call_id, result in step.results
        ]
        if step.text:
            content.append({"type": "text", "text": step.text})
        if step.image:
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            content.append({"type": "image", "source": source})
        self.history.append({"role": "user", "content": content})
        body: Json = {
            "messages": list(self.history),
            "max_tokens": step.limit or 32_000,
        }
        if step.system:
            body["system"] = step.system
        if step.tools:
            body["tools"] = [
                {"name": n, "input_schema": PARAMETERS} for n in step.tools
            ]
        if step.schema:
            format_ = {"type": "json_schema", "schema": SCHEMA}
            body["output_config"] = {"format": format_}
        if step.effort:
            body["output_config"] = {"effort": step.effort}
            body["thinking"] = {"type": "adaptive"}
        return body

    def answered(self, step: Step) -> None:
        content: list[Json] = []
        if said(step):
            content.append({"type": "text", "text": said(step)})
        content += [
            {
                "type": "tool_use",
                "id": use.id,
                "name": use.name,
                "input": json.loads("".join(use.fragments)),
            }
            for use in calls(step)
        ]
        self.history.append({"role": "assistant", "content": content})


class ResponsesClient(Client):
    def __post_init__(self) -> None:
        for question, answer in self.talk.past:
            self.history += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]

    def body(self, step: Step) -> Json:
        content: Any = step.text
        if step.image:
            url = f"data:image/png;base64,{PIXEL}"
            content = [
                {"type": "input_text", "text": step.text},
                {"type": "input_image", "image_url": url},
            ]
        if step.text:
            self.history.append({"role": "user", "content": content})
        for call_id, result in step.results:
            kind = "function_call_output"
            item = {"type": kind, "call_id": call_id, "output": result}
            self.history.append(item)
        body: Json = {"input": list(self.history), "store": False}
        if step.system:
            body["instructions"] = step.system
        if step.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": name,
                    "parameters": PARAMETERS,
                    "strict": False,
                }
                for name in step.tools
            ]
        if step.schema:
            format_ = {"type": "json_schema", "name": "city", "schema": SCHEMA}
            body["text"] = {"format": format_ | {"strict": True}}
        if step.effort:
            body["reasoning"] = {"effort": step.effort, "summary": "auto"}
        if step.limit:
            body["max_output_tokens"] = step.limit
        return body

    def answered(self, step: Step) -> None:
        if said(step):
            self.history.append({"role": "assistant", "content": said(step)})
        for use in calls(step):
            self.history.append(
                {
                    "type": "function_call",
                    "call_id": use.id,
                    "name": use.name,
                    "arguments": "".join(use.fragments),
                }
            )


CLIENTS: dict[str, Callable[[Talk], Client]] = {
    "chat/completions": ChatClient,
    "messages": MessagesClient,
    "responses": ResponsesClient,
}
