"""The client's functions as tools of an MCP server that lives in this process. Pure.

`initialize` names the server and brings its manifest. A CLI that cannot use that
asks as any MCP client does. A call comes as a control request with the JSON-RPC
message in it, and the CLI waits for as long as the answer takes. See
https://modelcontextprotocol.io/specification.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from .protocol import STRUCTURED_OUTPUT, ControlRequest, Json
from .surrogates import repaired_json
from .turns import ContentBlock, Setup, Tool

SERVER = "client"
PREFIX = f"mcp__{SERVER}__"

#: What stands after the client's id of a call, before a number, where it is not the
#: first call with that id.
AGAIN = "-again-"

# What the CLI lists under another name than it is asked for.
_LISTED_AS = {"Agent": "Task", "KillShell": "TaskStop"}
# It lists these when it hides others until the model searches for them.
_HARMLESS = {"ToolSearch", "DeferredToolPlaceholder"}

# What the Messages API takes as a tool's name.
_LEGAL = re.compile(rf"[A-Za-z0-9_-]{{1,{64 - len(PREFIX)}}}")

# The CLI cuts a description off a little later.
MOST_DESCRIPTION_CHARACTERS = 2_000
_UNPARSED = "__unparsedToolInput"
_GOES_ON = "… (the whole of it is in the system prompt)"

# Without these the CLI puts a preview in the place of a long result, and may hide
# a tool until the model searches for it.
_META = {"anthropic/maxResultSizeChars": 2**31 - 1, "anthropic/alwaysLoad": True}

# A manifest of another version than the CLI's own is not used.
_MCP_VERSION = "2025-11-25"


def name_for_cli(name: str) -> str:
    """The name under which the model sees the client's function `name`.

    A name that the Messages API would refuse is replaced by one that resembles it.
    """
    if _LEGAL.fullmatch(name):
        return PREFIX + name
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return PREFIX + re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40] + "_" + mark


def beyond_grant(listed: Iterable[str], setup: Setup) -> list[str]:
    """Those of the tools that the CLI has `listed` which nobody has granted."""
    profile = setup.profile
    granted = {name_for_cli(tool.name) for tool in setup.tools}
    granted |= {_LISTED_AS.get(name, name) for name in profile.tools}
    granted |= _HARMLESS
    if setup.schema:
        granted.add(STRUCTURED_OUTPUT)
    return [
        name
        for name in listed
        if name not in granted
        and not (profile.has_servers and name.startswith("mcp__"))
    ]


def initialize_fields(tools: Sequence[Tool]) -> Json:
    """What `initialize` says of the tools; nothing where there are none."""
    if not tools:
        return {}
    manifest = {
        "initializeResult": _initialize_result(_MCP_VERSION),
        "toolsListResult": _tools_list_result(tools),
    }
    return {"sdkMcpServers": [SERVER], "sdkMcpServerManifests": {SERVER: manifest}}


def _initialize_result(version: str) -> Json:
    return {
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": SERVER, "version": "1"},
    }


def _tools_list_result(tools: Sequence[Tool]) -> Json:
    return {"tools": [_description(tool) for tool in tools]}


def _description(tool: Tool) -> Json:
    return {
        "name": name_for_cli(tool.name).removeprefix(PREFIX),
        "description": _shown(tool.description),
        "inputSchema": msgspec.Raw(tool.input_schema.encode()),
        # Calls of tools that only read come all at once, and so they are parallel.
        "annotations": {"readOnlyHint": True},
        "_meta": _META,
    }


def long_descriptions(tools: Iterable[Tool]) -> list[str]:
    """What to add to the system prompt, for the CLI cuts long descriptions short."""
    return [
        f"The whole description of the tool {name_for_cli(tool.name)}:\n\n"
        f"{tool.description}"
        for tool in tools
        if len(tool.description) > MOST_DESCRIPTION_CHARACTERS
    ]


def _shown(description: str) -> str:
    if len(description) <= MOST_DESCRIPTION_CHARACTERS:
        return description
    return description[: MOST_DESCRIPTION_CHARACTERS - len(_GOES_ON)] + _GOES_ON


def parsed_input(arguments: str) -> Json:
    """The input of a call with these `arguments`, which should be a JSON object.

    What is none is wrapped as the CLI itself does it. Raises RecursionError for what is
    nested too deeply to tell.
    """
    try:
        parsed = json.loads(repaired_json(arguments) or "{}")
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    return {_UNPARSED: {"raw": arguments, "len": len(arguments)}}


def is_unparsed(block: ContentBlock) -> bool:
    """Whether `block` is a call with arguments that are no JSON object.

    The CLI does not make such a call: it tells the model, and goes on.
    """
    return block["type"] == "tool_use" and _UNPARSED in block["input"]


@dataclass(frozen=True)
class Call:
    """A call that the CLI waits for the answer to."""

    request_id: str
    rpc_id: int | str | None
    tool_use_id: str


def call_in(message: ControlRequest) -> Call | None:
    """The call of a tool that `message` is, None if it is something else."""
    rpc = _rpc_in(message)
    if rpc.get("method") != "tools/call":
        return None
    meta = rpc.get("params", {}).get("_meta", {})
    tool_use_id = meta.get("claudecode/toolUseId", "")
    return Call(message.request_id, rpc.get("id"), tool_use_id)


def response_to(call: Call, tool_result: ContentBlock) -> Json:
    """The message that answers `call` with `tool_result`."""
    result: Json = {"content": [_mcp_content(b) for b in tool_result["content"]]}
    if tool_result.get("is_error"):
        result["isError"] = True
    return _response(call.request_id, call.rpc_id, result)


def handshake_response(message: ControlRequest, tools: Sequence[Tool]) -> Json | None:
    """The answer to the other messages of an MCP client, None if it is none."""
    rpc = _rpc_in(message)
    method = rpc.get("method", "")
    if method == "initialize":
        result = _initialize_result(rpc["params"]["protocolVersion"])
    elif method == "tools/list":
        result = _tools_list_result(tools)
    elif method.startswith("notifications/") or method == "ping":
        result = {}
    else:
        return None
    return _response(message.request_id, rpc.get("id"), result)


def _rpc_in(message: ControlRequest) -> Json:
    rpc = message.request.get("message")
    if message.request.get("subtype") != "mcp_message" or not isinstance(rpc, dict):
        return {}
    return rpc


def _response(request_id: str, rpc_id: int | str | None, result: Json) -> Json:
    rpc = {"jsonrpc": "2.0", "id": rpc_id, "result": result}
    answer = {
        "subtype": "success",
        "request_id": request_id,
        "response": {"mcp_response": rpc},
    }
    return {"type": "control_response", "response": answer}


def _mcp_content(block: ContentBlock) -> Json:
    if block["type"] == "image":
        source = block["source"]
        return {
            "type": "image",
            "data": source["data"],
            "mimeType": source["media_type"],
        }
    return {"type": "text", "text": block["text"]}
