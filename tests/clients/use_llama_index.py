"""What LlamaIndex's users do."""

from __future__ import annotations

import json
import os

from forecast import Forecast, get_weather
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model="sonnet",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    is_chat_model=True,
    is_function_calling_model=True,
    should_use_structured_outputs=True,
)
said = llm.chat([ChatMessage("Greet me.")])
pieces = [piece.delta for piece in llm.stream_chat([ChatMessage("Greet me.")])]
tool = FunctionTool.from_defaults(get_weather)
question = ChatMessage("Weather?")
called = llm.chat_with_tools([tool], chat_history=[question])
messages = [question, called.message]
for call in llm.get_tool_calls_from_response(called):
    result = str(tool(**call.tool_kwargs))
    messages.append(
        ChatMessage(
            result, role="tool", additional_kwargs={"tool_call_id": call.tool_id}
        )
    )
answer = llm.chat_with_tools([tool], chat_history=messages)
structured = llm.as_structured_llm(Forecast).chat([ChatMessage("Structured?")])
print(
    json.dumps(
        {
            "chat": said.message.content,
            "stream": [piece for piece in pieces if piece],
            "tools": answer.message.content,
            "structured": structured.raw.model_dump(),
        }
    )
)
