// What the users of LangChain.js do, over chat completions and over responses.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { Forecast } from "./forecast.ts";

const model = new ChatOpenAI({ model: "sonnet", useResponsesApi: process.argv[2] === "responses" });
const getWeather = tool(({ city }) => `-3 C in ${city}`, {
  name: "get_weather",
  description: "The weather of a city.",
  schema: z.object({ city: z.string() }),
});

const said = await model.invoke("Greet me.");
const pieces: string[] = [];
for await (const piece of await model.stream("Greet me.")) if (piece.text) pieces.push(piece.text);
const withTools = model.bindTools([getWeather]);
const question = new HumanMessage("Weather?");
const called = await withTools.invoke([question]);
const results: ToolMessage[] = [];
for (const call of called.tool_calls ?? []) results.push(await getWeather.invoke({ ...call, type: "tool_call" }));
const answer = await withTools.invoke([question, called, ...results]);
const structured = await model.withStructuredOutput(Forecast).invoke("Structured?");
console.log(
  JSON.stringify({
    chat: said.text,
    stream: pieces,
    tools: answer.text,
    structured,
  }),
);
