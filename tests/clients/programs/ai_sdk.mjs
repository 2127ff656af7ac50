// The Vercel AI SDK with the provider `openai` or `databricks`, the second argument.

import { generateText, jsonSchema, Output, streamText, tool } from "ai";
import { FOLLOW_UP, QUESTION, run, URL } from "./situations.mjs";

const model = await createModel(process.argv[3]);
// Without it, the provider refers to items that it expects the server to store.
const providerOptions = { openai: { store: false } };
const schema = jsonSchema({
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
});

async function createModel(provider) {
  const settings = { baseURL: URL, apiKey: "none" };
  if (provider === "databricks") {
    const { createDatabricksProvider } = await import("@databricks/ai-sdk-provider");
    // Without it, the AI SDK adds an error to the output of each of the agent's tools.
    return createDatabricksProvider({ ...settings, useRemoteToolCalling: true }).responses("agent");
  }
  const { createOpenAI } = await import("@ai-sdk/openai");
  return createOpenAI(settings).responses("agent");
}

// Return the text of an answer and its messages.
async function ask(stream, messages, options = {}) {
  const settings = { model, messages, providerOptions, maxRetries: 0, ...options };
  if (!stream) {
    const { text, response } = await generateText(settings);
    return { text, messages: response.messages };
  }
  let failure;
  const result = streamText({ ...settings, onError: ({ error }) => (failure = error) });
  let text = "";
  for await (const part of result.textStream) text += part;
  if (failure) throw failure;
  return { text, messages: (await result.response).messages };
}

async function turns(stream) {
  const messages = [{ role: "user", content: QUESTION }];
  const first = await ask(stream, messages);
  messages.push(...first.messages, { role: "user", content: FOLLOW_UP });
  const second = await ask(stream, messages);
  return [first.text, second.text];
}

async function structured() {
  const output = Output.object({ schema });
  const settings = { model, prompt: QUESTION, providerOptions, maxRetries: 0, output };
  return await streamText({ ...settings, onError: () => {} }).output;
}

async function failing(stream, question, options = {}) {
  return (await ask(stream, [{ role: "user", content: question }], options)).text;
}

async function disconnect() {
  const controller = new AbortController();
  const settings = { model, prompt: "Talk", providerOptions, abortSignal: controller.signal };
  for await (const part of streamText(settings).textStream) {
    controller.abort();
    return part;
  }
}

const tools = { a: tool({ description: "A tool.", inputSchema: schema }) };
await run(
  {
    disconnect,
    turns: () => turns(false),
    turns_streamed: () => turns(true),
    structured,
    invalid: () => failing(false, "Hello", { tools }),
    invalid_streamed: () => failing(true, "Hello", { tools }),
  },
  failing,
);
