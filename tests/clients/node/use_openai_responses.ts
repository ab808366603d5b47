// What the users of OpenAI's client for Node do, over responses.
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { Forecast } from "./forecast.ts";

const client = new OpenAI();
const model = "sonnet";

const said = await client.responses.create({ model, input: "Greet me." });
const pieces: string[] = [];
for await (const event of await client.responses.create({ model, input: "Greet me.", stream: true })) {
  if (event.type === "response.output_text.delta") pieces.push(event.delta);
}
const tools: OpenAI.Responses.Tool[] = [
  {
    type: "function",
    name: "get_weather",
    description: "The weather of a city.",
    parameters: { type: "object", properties: { city: { type: "string" } } },
    strict: false,
  },
];
const called = await client.responses.create({ model, input: "Weather?", tools });
const outputs = called.output
  .filter((item) => item.type === "function_call")
  .map((item) => ({
    type: "function_call_output" as const,
    call_id: item.call_id,
    output: `-3 C in ${JSON.parse(item.arguments).city}`,
  }));
const answer = await client.responses.create({
  model,
  input: outputs,
  previous_response_id: called.id,
  tools,
});
const structured = await client.responses.parse({
  model,
  input: "Structured?",
  text: { format: zodTextFormat(Forecast, "weather") },
});
console.log(
  JSON.stringify({
    chat: said.output_text,
    stream: pieces,
    tools: answer.output_text,
    structured: structured.output_parsed,
  }),
);
