// What was said so far, and what of it goes back to the agent with the next message.

/** One message of the user, and all that came of it. */
export class Turn {
  state = "running"; // then "done", "stopped" or "failed"
  failure = ""; // why it failed, for the reader
  items = []; // the finished ones, as they came
  events = [];
  traceId = "";

  constructor(message, before, customInputs) {
    this.message = { role: "user", content: message };
    this.request = { input: [...before, this.message], stream: true };
    if (customInputs) this.request.custom_inputs = customInputs;
  }

  /** Note an event of the answer. */
  note(event) {
    this.events.push(event);
    if (event.type === "response.output_item.done") this.items.push(event.item);
    this.traceId ||= event.trace_id ?? event.response?.metadata?.trace_id ?? "";
    this.failure ||= failure(event);
  }

  /** Note how the answer ended: stopped by the reader, with an error, or by itself. */
  end(isStopped, error) {
    if (!isStopped) this.failure ||= error?.message ?? "";
    this.state = isStopped ? "stopped" : this.failure ? "failed" : "done";
  }
}

/** What an event says of a failure, or nothing. MLflow's server may send an error without a type. */
function failure(event) {
  if (event.type === "error") return event.message ?? "The agent could not answer.";
  if (event.type === "response.failed") return event.response?.error?.message ?? "The agent could not answer.";
  if (event.type === "response.incomplete") return "The answer is incomplete.";
  return !event.type && event.error ? String(event.error) : "";
}

/** The items of all turns; of an answer that broke off, those that can stand without the rest. */
export function history(turns) {
  return turns.flatMap((turn) => [turn.message, ...(turn.state === "done" ? turn.items : sound(turn.items))]);
}

/** APIs refuse a call without its output, and a thought without what it led to. */
function sound(items) {
  const isOutput = (item) => item.type === "function_call_output";
  const answered = new Set(items.filter(isOutput).map((item) => item.call_id));
  const whole = items.filter((item) => item.type !== "function_call" || answered.has(item.call_id));
  while (whole.at(-1)?.type === "reasoning") whole.pop();
  return whole;
}
