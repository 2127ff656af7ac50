// The conversation: turns, and the items of earlier turns that the next request contains.

import { Failure, failureOf } from "./failure.js";

/** A message of the user and the agent's answer. */
export class Turn {
  state = "running"; // then "done", "stopped" or "failed"
  failure = null; // why the answer failed or is incomplete
  usage = null; // tokens, if the server reports them
  seconds = 0;
  items = []; // finished items, in order
  events = [];
  traceId = "";

  constructor(text, previousItems, customInputs) {
    this.message = { role: "user", content: text };
    this.startedAt = performance.now();
    this.request = { input: [...previousItems, this.message], stream: true };
    if (customInputs) this.request.custom_inputs = customInputs;
  }

  addEvent(event) {
    this.events.push(event);
    if (event.type === "response.output_item.done") this.items.push(event.item);
    this.traceId ||= event.trace_id ?? event.response?.metadata?.trace_id ?? "";
    this.usage = event.response?.usage ?? this.usage;
    this.failure ??= failureOf(event);
  }

  /** Set the final state. The user may have stopped the answer, or an error ended it. */
  finish(isStopped, error) {
    this.seconds = (performance.now() - this.startedAt) / 1000;
    if (error && !isStopped) {
      this.failure ??= error instanceof Failure ? error : new Failure(error.message);
    }
    this.state = isStopped ? "stopped" : this.failure ? "failed" : "done";
  }
}

/** Return the items of all turns. An incomplete answer keeps the items that are valid alone. */
export function conversationItems(turns) {
  return turns.flatMap(({ message, state, items }) => [
    message,
    ...(state === "done" ? items : validItems(items)),
  ]);
}

/** APIs reject a call without its output, and reasoning without the item that follows it. */
function validItems(items) {
  const outputs = items.filter((item) => item.type === "function_call_output");
  const answered = new Set(outputs.map((item) => item.call_id));
  const valid = items.filter((item) => item.type !== "function_call" || answered.has(item.call_id));
  while (valid.at(-1)?.type === "reasoning") valid.pop();
  return valid;
}
