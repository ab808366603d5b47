// What the users of OpenAI's client for Node do, over chat completions.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { Forecast } from "./forecast.ts";

const client = new OpenAI();
const model = "sonnet";
const greet: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: "Greet me." }];

const said = await client.chat.completions.create({ model, messages: greet });
const pieces: string[] = [];
for await (const chunk of await client.chat.completions.create({ model, messages: greet, stream: true })) {
  const piece = chunk.choices[0]?.delta.content;
  if (piece) pieces.push(piece);
}
const runner = client.chat.completions.runTools({
  model,
  messages: [{ role: "user", content: "Weather?" }],
  tools: [
    {
      type: "function",
      function: {
        name: "get_weather",
        description: "The weather of a city.",
        parameters: { type: "object", properties: { city: { type: "string" } } },
        parse: JSON.parse,
        function: ({ city }: { city: string }) => `-3 C in ${city}`,
      },
    },
  ],
});
const answer = await runner.finalContent();
const structured = await client.chat.completions.parse({
  model,
  messages: [{ role: "user", content: "Structured?" }],
  response_format: zodResponseFormat(Forecast, "weather"),
});
console.log(
  JSON.stringify({
    chat: said.choices[0].message.content,
    stream: pieces,
    tools: answer,
    structured: structured.choices[0].message.parsed,
  }),
);
