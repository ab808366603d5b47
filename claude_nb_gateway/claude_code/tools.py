"""The client's functions as tools of an MCP server inside this process. Pure.

`initialize` names the server and contains its manifest. A CLI that cannot use the
manifest sends the requests of any MCP client. A call is a control request with a
JSON-RPC message inside; the CLI waits for the answer without a time limit. See
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

#: If several calls have the same client id, the later ones get this mark and a number
#: after the id.
REPEATED_ID_MARK = "-again-"

# The CLI takes these tools under one name and lists them under another.
_LISTED_AS = {"Agent": "Task", "KillShell": "TaskStop"}
# The CLI lists these when it hides other tools until the model searches for them.
_FOR_TOOL_SEARCH = {"ToolSearch", "DeferredToolPlaceholder"}

# The tool names that the Messages API accepts.
_LEGAL = re.compile(rf"[A-Za-z0-9_-]{{1,{64 - len(PREFIX)}}}")

#: Maximum length of a tool's description. The CLI truncates at a slightly higher one.
MAX_DESCRIPTION_CHARACTERS = 2_000
_UNPARSED = "__unparsedToolInput"
_TRUNCATED = "… (the whole of it is in the system prompt)"

# Without these the CLI replaces a long result by a preview, and may hide a tool until
# the model searches for it.
_META = {"anthropic/maxResultSizeChars": 2**31 - 1, "anthropic/alwaysLoad": True}

# The CLI ignores a manifest of any version but its own.
_MCP_VERSION = "2025-11-25"


def name_for_cli(name: str) -> str:
    """The name under which the model sees the client's function `name`.

    If the Messages API would refuse the name, a similar name replaces it.
    """
    if _LEGAL.fullmatch(name):
        return PREFIX + name
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return PREFIX + re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40] + "_" + mark


def ungranted_tools(listed: Iterable[str], setup: Setup) -> list[str]:
    """The tools that the CLI has `listed`, but that `setup` does not grant."""
    profile = setup.profile
    granted = {name_for_cli(tool.name) for tool in setup.tools}
    granted |= {_LISTED_AS.get(name, name) for name in profile.tools}
    granted |= _FOR_TOOL_SEARCH
    if setup.schema:
        granted.add(STRUCTURED_OUTPUT)
    return [
        name
        for name in listed
        if name not in granted
        and not (profile.has_servers and name.startswith("mcp__"))
    ]


def initialize_fields(tools: Sequence[Tool]) -> Json:
    """The fields of `initialize` that describe `tools`; empty without tools."""
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
        # The CLI sends calls of read-only tools all at once. So they run in parallel.
        "annotations": {"readOnlyHint": True},
        "_meta": _META,
    }


def long_descriptions(tools: Iterable[Tool]) -> list[str]:
    """Texts for the system prompt: the descriptions that the CLI would truncate."""
    return [
        f"The whole description of the tool {name_for_cli(tool.name)}:\n\n"
        f"{tool.description}"
        for tool in tools
        if len(tool.description) > MAX_DESCRIPTION_CHARACTERS
    ]


def _shown(description: str) -> str:
    if len(description) <= MAX_DESCRIPTION_CHARACTERS:
        return description
    return description[: MAX_DESCRIPTION_CHARACTERS - len(_TRUNCATED)] + _TRUNCATED


def parsed_input(arguments: str) -> Json:
    """The input of a call with these `arguments`, which should be a JSON object.

    Other arguments are wrapped in the same way as the CLI does it.

    Raises
    ------
    RecursionError
        The arguments are nested too deeply.
    """
    try:
        parsed = json.loads(repaired_json(arguments) or "{}")
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    return {_UNPARSED: {"raw": arguments, "len": len(arguments)}}


def is_unparsed(block: ContentBlock) -> bool:
    """Whether `block` is a call with arguments that are not a JSON object.

    The CLI does not make such a call. It reports the error to the model and continues.
    """
    return block["type"] == "tool_use" and _UNPARSED in block["input"]


@dataclass(frozen=True)
class Call:
    """A call whose answer the CLI waits for."""

    request_id: str
    rpc_id: int | str | None
    tool_use_id: str


def call_in(message: ControlRequest) -> Call | None:
    """The tool call in `message`, None if it is another request."""
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
    """The answer to a message of the MCP handshake, None if it is not one."""
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
