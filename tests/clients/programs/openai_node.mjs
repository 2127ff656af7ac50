// The `openai` client for Node.

import OpenAI from "openai";
import { FOLLOW_UP, QUESTION, run, URL } from "./situations.mjs";

const client = new OpenAI({ baseURL: URL, apiKey: "none", maxRetries: 0 }).responses;
const TOOL = { type: "function", name: "a", parameters: {}, strict: false };
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

function ask(stream, input, options = {}) {
  const body = { model: "agent", input, ...options };
  return stream ? client.stream(body).finalResponse() : client.create(body);
}

async function turns(stream) {
  const items = [{ role: "user", content: QUESTION }];
  const first = await ask(stream, items);
  items.push(...first.output, { role: "user", content: FOLLOW_UP });
  const second = await ask(stream, items);
  return [first.output_text, second.output_text];
}

async function structured() {
  const format = { type: "json_schema", name: "answer", schema: SCHEMA, strict: true };
  const body = { model: "agent", input: QUESTION, text: { format } };
  return (await client.parse(body)).output_parsed;
}

async function eventsOf(question, options = {}) {
  const types = [];
  const events = await client.create({ model: "agent", input: question, stream: true, ...options });
  for await (const event of events) types.push(event.type);
  return types;
}

async function disconnect() {
  for await (const event of await client.create({ model: "agent", input: "Talk", stream: true })) {
    if (event.type === "response.output_text.delta") return event.delta;
  }
}

await run(
  {
    disconnect,
    turns: () => turns(false),
    turns_streamed: () => turns(true),
    structured,
    invalid: () => ask(false, "Hello", { tools: [TOOL] }),
    invalid_streamed: () => eventsOf("Hello", { tools: [TOOL] }),
  },
  (stream, question) => (stream ? eventsOf(question) : ask(false, question)),
);
