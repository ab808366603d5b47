// What the users of the Vercel AI SDK do, with each of three providers.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, type LanguageModel, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { Forecast } from "./forecast.ts";

const settings = {
  baseURL: process.env.OPENAI_BASE_URL as string,
  apiKey: process.env.OPENAI_API_KEY as string,
};
const [api, name = "sonnet"] = process.argv.slice(2);
const models: Record<string, LanguageModel> = {
  anthropic: createAnthropic(settings)(name),
  compatible: createOpenAICompatible({ name: "gateway", supportsStructuredOutputs: true, ...settings })(name),
  openai: createOpenAI(settings)(name),
};
const model = models[api];

const said = await generateText({ model, prompt: "Greet me." });
const pieces: string[] = [];
for await (const piece of streamText({ model, prompt: "Greet me." }).textStream) pieces.push(piece);
const answer = await generateText({
  model,
  prompt: "Weather?",
  stopWhen: stepCountIs(3),
  tools: {
    get_weather: tool({
      description: "The weather of a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => `-3 C in ${city}`,
    }),
  },
});
const structure = { model, prompt: "Structured?", output: Output.object({ schema: Forecast }) };
const structured = await generateText(structure);
const streamed = streamText(structure);
console.log(
  JSON.stringify({
    chat: said.text,
    stream: pieces,
    tools: answer.text,
    structured: structured.output,
    structured_stream: await streamed.output,
  }),
);
