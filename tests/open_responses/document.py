"""Whether answers are what the OpenAPI document of Open Responses says they are.

`openapi.json` is the document of 2026-04-24 of https://openresponses.org, unchanged,
under the licence beside it.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import httpx2
import jsonschema

DOCUMENT = Path(__file__).with_name("openapi.json")

# A subset of OpenAI's API: what only that one has is not for this document to judge.
KNOWN_ITEMS = {
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "compaction",
}
KNOWN_TOOLS = {"function"}
OTHERS_EVENTS = "response.custom_tool_call_input."

_RESPONSES = re.compile(
    r"/v1(/projects/.+)?/responses(/compact|/resp_\w+(/cancel)?)?", re.ASCII
)


@functools.cache
def schemas():
    """The document's schemas, with what they cannot mean put right."""
    schemas = json.loads(DOCUMENT.read_text())["components"]["schemas"]
    # It has no value but null for the schema that the client has sent.
    schemas["JsonSchemaResponseFormat"]["properties"]["schema"] = {"type": "object"}
    # It describes the first, and lets nobody send it; the other is Claude's.
    schemas["ReasoningEffortEnum"]["enum"] += ["minimal", "max"]
    allowed = schemas["AllowedToolChoice"]["properties"]["tools"]["items"]
    schemas["AllowedTool"] = allowed.copy()
    allowed.clear()
    allowed["$ref"] = "#/components/schemas/AllowedTool"
    for name, known in (
        ("ItemField", KNOWN_ITEMS),
        ("Tool", KNOWN_TOOLS),
        ("AllowedTool", KNOWN_TOOLS),
    ):
        others = {"properties": {"type": {"not": {"enum": sorted(known)}}}}
        schemas[name] = {"anyOf": [schemas[name], others]}
    return schemas


@functools.cache
def _validator(name):
    root = {"$ref": f"#/components/schemas/{name}"}
    return jsonschema.Draft202012Validator(
        {**root, "components": {"schemas": schemas()}}
    )


@functools.cache
def _events():
    return {
        schema["properties"]["type"]["enum"][0]: name
        for name, schema in schemas().items()
        if name.endswith("StreamingEvent")
    }


def faults(name, value):
    """What is wrong with `value` as a `name` of the document."""
    return [
        f"{name}{error.json_path.removeprefix('$')}: {error.message[:400]}"
        for error in _validator(name).iter_errors(value)
    ]


def event_faults(event):
    """What is wrong with an event; one of ours, `slug:name`, needs a number."""
    if ":" in event["type"] or event["type"].startswith(OTHERS_EVENTS):
        return [] if "sequence_number" in event else [f"{event['type']}: no number"]
    name = _events().get(event["type"])
    if name is None:
        return [f"there is no event {event['type']}"]
    return faults(name, event)


def stream_faults(text):
    """What is wrong with a whole stream of server-sent events."""
    found = []
    numbers = []
    blocks = [block for block in text.split("\n\n") if not block.startswith(":")]
    for block in blocks:
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line)
        if lines and lines["data"] != "[DONE]":
            event = json.loads(lines["data"])
            found += event_faults(event)
            if event["type"] != lines.get("event"):
                found.append(f"{event['type']} is named {lines.get('event')}")
            numbers.append(event["sequence_number"])
    if numbers != list(range(len(numbers))):
        found.append(f"numbers of a stream: {numbers}")
    return found


def answer_faults(request, response, content):
    """What is wrong with an answer to a request over HTTP, if the document is of it."""
    path = request.url.path
    if not _RESPONSES.fullmatch(path) or request.method not in ("GET", "POST"):
        return []
    if request.method == "GET" and path.endswith(("/responses", "/compact")):
        return []  # it describes a directory of that name
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        return stream_faults(content.decode())
    body = json.loads(content)
    if response.status_code != 200:
        return faults("ErrorPayload", body["error"])
    compacted = path.endswith("/compact")
    return faults("CompactResource" if compacted else "ResponseResource", body)


class Watched(httpx2.SyncByteStream):
    """A body that is looked at when it has been read."""

    def __init__(self, stream, look):
        self._stream = stream
        self._look = look
        self._seen = []

    def __iter__(self):
        for piece in self._stream:
            self._seen.append(piece)
            yield piece
        self._look(b"".join(self._seen))

    def close(self):
        self._stream.close()


def watch(monkeypatch, found):
    """Have every answer of httpx2 looked at, and its faults put in `found`."""
    handle = httpx2.HTTPTransport.handle_request

    def handle_request(self, request):
        response = handle(self, request)

        def look(content):
            found.extend(answer_faults(request, response, content))

        if _RESPONSES.fullmatch(request.url.path):
            response.stream = Watched(response.stream, look)
        return response

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", handle_request)
