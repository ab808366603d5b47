// The structured answer that all programs ask for: alternatives told apart by a field,
// a part in a part, a default.
import { z } from "zod";

const Rain = z.object({ kind: z.literal("rain"), millimetres: z.number() });
const Snow = z.object({ kind: z.literal("snow"), depth: z.object({ centimetres: z.number() }) });

export const Forecast = z.object({
  city: z.string(),
  sky: z.discriminatedUnion("kind", [Rain, Snow]),
  unit: z.string().default("C"),
});
