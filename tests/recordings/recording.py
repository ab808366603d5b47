"""Hold a conversation, and write down what was said on both sides of the gateway.

`python -m tests.recordings.recording` writes the files anew: only where what the
gateway says is meant to change.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from claude_nb_gateway.demo.model import ModelServer, RecordedRequest, Reply
from claude_nb_gateway.testing.fixtures import FEW_SPARES
from claude_nb_gateway.testing.server import Gateway, running_gateway

from .conversations import CLIENTS, COMPLETIONS, TALKS, Json

FILES = Path(__file__).parent / "files"

# Of the answer's headers, those that are the gateway's.
KEPT_HEADERS = ("content-type", "retry-after", "x-should-retry")
KEPT_PREFIXES = ("x-claude-", "x-ignored-", "x-corrected-", "x-reduced-")

# Of what the model is sent, what the gateway has a hand in.
KEPT_FIELDS = (
    "model",
    "system",
    "messages",
    "tools",
    "tool_choice",
    "max_tokens",
    "thinking",
    "output_config",
    "stop_sequences",
)

# With which its own parts of the system prompt begin.
CLIS_PROMPTS = ("x-anthropic-billing-header", "You are a Claude agent")
MOST_TOOLS_OF_A_CLIENT = 3

# What differs from run to run; each kind is numbered in the order of its coming.
VOLATILE = (
    ("ID", r"\b(?:chatcmpl|cmpl|resp|msg|fc|rs|req|cmp)[-_][0-9a-f]{12,}\b"),
    ("UUID", r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    ("DIRECTORY", r"/tmp/[\w./-]*[\w/]"),
)
TIMES = {"created", "created_at", "completed_at"}


def all_names() -> Iterator[tuple[str, str]]:
    """The API and the name of each conversation."""
    for api in CLIENTS:
        yield from ((api, name) for name in TALKS)
    yield from (("completions", name) for name in COMPLETIONS)


def path_of(api: str, name: str, streamed: bool) -> Path:
    """Where the recording of a conversation is."""
    kind = "streamed" if streamed else "whole"
    return FILES / api.replace("/", "-") / f"{name}-{kind}.json"


def record(
    gateway: Gateway, model: ModelServer, api: str, name: str, streamed: bool
) -> str:
    """Hold the conversation; returns what was said, as JSON."""
    said = []
    for body, replies, project, reached in _requests(api, name):
        model.reset()
        model.script(*replies)
        headers = {"Authorization": f"Bearer {gateway.key}"}
        if project:
            headers["X-Claude-Project"] = project
        fields = {"model": "sonnet", **body, "stream": streamed}
        if not streamed:
            fields.pop("stream_options", None)
        url = f"{gateway.base_url}/{api}"
        response = httpx2.post(url, json=fields, headers=headers, timeout=60)
        reached()
        said.append(
            {
                "request": fields,
                "status": response.status_code,
                "headers": _kept_headers(response),
                "answer": _answer(response),
                # Cut at its limit, the CLI may ask to go on, and is not heard.
                "asked": [_asked(each) for each in model.requests[: len(replies)]],
            }
        )
    text = json.dumps(_without_times(said), indent=1, ensure_ascii=False)
    return _normal(text) + "\n"


def _requests(api: str, name: str) -> Iterator[tuple[Json, Sequence[Reply], str, Any]]:
    if api == "completions":
        for body, replies in COMPLETIONS[name]:
            yield body, replies, "", lambda: None
        return
    talk = TALKS[name]
    client = CLIENTS[api](talk)
    for step in talk.steps:
        yield (
            client.body(step),
            [_slow(reply) for reply in step.replies],
            step.project,
            lambda step=step: client.answered(step),
        )


def _slow(reply: Reply) -> Reply:
    # Each word comes by itself, so that none is merged with the next.
    return replace(reply, delay_seconds=reply.delay_seconds or 0.02)


def _kept_headers(response: httpx2.Response) -> Json:
    return {
        name: value
        for name, value in sorted(response.headers.items())
        if name in KEPT_HEADERS or name.startswith(KEPT_PREFIXES)
    }


def _answer(response: httpx2.Response) -> Any:
    if response.headers["content-type"].startswith("text/event-stream"):
        events = [event for event in response.text.split("\n\n") if event]
        return [_event(event) for event in events]
    return response.json()


def _event(text: str) -> Any:
    """The event's lines, its data as JSON where it is some."""
    lines = []
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        is_json = name == "data" and value.startswith("{")
        lines.append([name, json.loads(value) if is_json else value])
    return lines


def _asked(request: RecordedRequest) -> Json:
    """What the model was asked, without the words of the CLI's own."""
    asked = {key: request.body[key] for key in KEPT_FIELDS if key in request.body}
    system = [block["text"] for block in request.body.get("system", ())]
    asked["system"] = [text for text in system if not text.startswith(CLIS_PROMPTS)]
    asked["messages"] = [_without_notes(message) for message in request.messages]
    if len(asked.get("tools", ())) > MOST_TOOLS_OF_A_CLIENT:
        asked["tools"] = [tool["name"] for tool in asked["tools"]]
        asked["system"] = []
    return asked


def _without_notes(message: Json) -> Json:
    content = message["content"]
    if isinstance(content, str):
        return message
    kept = [b for b in content if not b.get("text", "").startswith("<system-reminder>")]
    return message | {"content": kept}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: 0 if key in TIMES and item is not None else _without_times(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    return value


def _normal(text: str) -> str:
    for kind, pattern in VOLATILE:
        seen: dict[str, str] = {}

        def number(found: re.Match[str], kind=kind, seen=seen) -> str:
            return seen.setdefault(found[0], f"{kind}-{len(seen) + 1}")

        text = re.sub(pattern, number, text)
    return text


def prepare(directory: Path) -> None:
    """Make what the conversations find in the server's directory."""
    (directory / "work").mkdir()
    (directory / "work" / "notes.txt").write_text("hi\n")


def main() -> None:
    directory = Path(tempfile.mkdtemp())
    prepare(directory)
    with (
        ModelServer() as model,
        running_gateway(directory, model.url, *FEW_SPARES) as gateway,
    ):
        for api, name in all_names():
            for streamed in (True, False):
                path = path_of(api, name, streamed)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(record(gateway, model, api, name, streamed))


if __name__ == "__main__":
    main()
