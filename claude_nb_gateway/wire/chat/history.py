"""From the messages of a transcript to messages of chat completions. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...claude_code.tools import PREFIX, REPEATED_ID_MARK

Message = dict[str, Any]


def chat_messages(entries: Iterable[Mapping[str, Any]]) -> list[Message]:
    """The conversation of `entries` (see `Transcripts.messages`), in OpenAI's words.

    Each message has its `id` of the transcript. The blocks of one answer of the model
    make one message, and each result of a tool makes one.
    """
    messages: list[Message] = []
    answering = ""
    for entry in entries:
        message = entry["message"]
        blocks = _blocks(message.get("content"))
        if entry["type"] == "user":
            answering = ""
            messages += _user_messages(entry["uuid"], blocks)
            continue
        if not answering or message.get("id") != answering:
            messages.append({"id": entry["uuid"], "role": "assistant", "content": None})
        answering = message.get("id") or entry["uuid"]
        _add_to(messages[-1], blocks)
    return messages


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content or [] if isinstance(block, dict)]


def _user_messages(message_id: str, blocks: list[dict[str, Any]]) -> list[Message]:
    results = [
        {
            "id": message_id,
            "role": "tool",
            "tool_call_id": _clients_id(block.get("tool_use_id")),
            "content": _text_of(_blocks(block.get("content"))),
        }
        for block in blocks
        if block.get("type") == "tool_result"
    ]
    parts = [part for block in blocks if (part := _part(block)) is not None]
    if not parts:
        return results
    if all(part["type"] == "text" for part in parts):
        content: Any = "\n".join(part["text"] for part in parts)
    else:
        content = parts
    return [*results, {"id": message_id, "role": "user", "content": content}]


def _part(block: Mapping[str, Any]) -> Message | None:
    if block.get("type") == "text":
        return {"type": "text", "text": block.get("text", "")}
    source = block.get("source") or {}
    if block.get("type") == "image" and source.get("type") == "base64":
        url = f"data:{source['media_type']};base64,{source['data']}"
        return {"type": "image_url", "image_url": {"url": url}}
    if block.get("type") in ("image", "document"):
        return {"type": "text", "text": f"[{block.get('type')}]"}
    return None


def _add_to(message: Message, blocks: list[dict[str, Any]]) -> None:
    for block in blocks:
        if block.get("type") == "text":
            message["content"] = (message["content"] or "") + block.get("text", "")
        elif block.get("type") == "tool_use":
            message.setdefault("tool_calls", []).append(_call(block))


def _call(block: Mapping[str, Any]) -> Message:
    return {
        "id": _clients_id(block.get("id")),
        "type": "function",
        "function": {
            "name": str(block.get("name", "")).removeprefix(PREFIX),
            "arguments": json.dumps(block.get("input", {}), ensure_ascii=False),
        },
    }


def _clients_id(call_id: Any) -> str:
    return re.sub(rf"{REPEATED_ID_MARK}\d+$", "", str(call_id or ""))


def _text_of(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(
        block.get("text", f"[{block.get('type', 'something')}]") for block in blocks
    )
