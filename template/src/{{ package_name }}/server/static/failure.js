// Why an answer failed or is incomplete, and what the user can do.

const OPERATOR = "If it fails again, tell the operator.";

// For the codes of errors.py, the reasons of incomplete answers, and the status of a proxy.
const ADVICE = [
  ["Change your message or the custom inputs.", "invalid_request"],
  ["Start a new chat, or send less.", "context_length_exceeded", "request_too_large", 413],
  ["Retry, and enter the token.", 401],
  ["Ask the operator for access.", "forbidden", 403],
  ["Tell the operator. A retry does not help.", "llm_refused"],
  ["Wait, then retry.", "too_many_requests", "rate_limit_exceeded", "server_stopping", 429],
  [`Wait, then retry. ${OPERATOR}`, "llm_error", 502, 503],
  [`Retry, or ask for less at once. ${OPERATOR}`, "answer_timeout", 504],
  ["Check your connection, then retry.", "connection_lost", "request_timeout"],
  [`Reload the page, and log in if it asks you to. ${OPERATOR}`, "no_stream"],
  ["Ask the agent to continue, or for a shorter answer.", "max_output_tokens"],
  ["Rephrase your message.", "content_filter"],
];

const INCOMPLETE = {
  max_output_tokens: ": it reached the limit of output tokens",
  content_filter: ": the LLM's content filter stopped it",
};

const REFERENCE = / See error \w+ in the server log\./; // of errors.py

/** A failure that can be shown to the user. */
export class Failure extends Error {
  constructor(message, code, { id, retry_after: seconds } = {}) {
    super(message.replace(REFERENCE, ""));
    this.code = code;
    this.errorId = id;
    const [advice] = ADVICE.find(([, ...codes]) => codes.includes(code)) ?? [`Retry. ${OPERATOR}`];
    this.advice = /^\d+$/.test(seconds) ? `Wait ${seconds} s, then retry.` : advice;
  }
}

/** Return the failure that an event reports, or null. */
export function failureOf({ type, code, message, error, response }) {
  if (type === "error") return failureFrom(error ?? { code, message });
  if (type === "response.failed") return failureFrom(response?.error);
  if (type !== "response.incomplete") return null;
  const reason = response?.incomplete_details?.reason;
  return new Failure(`The answer is incomplete${INCOMPLETE[reason] ?? ""}.`, reason);
}

function failureFrom(error) {
  return new Failure(error?.message ?? "The agent could not answer.", error?.code, error ?? {});
}
