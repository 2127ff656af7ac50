// HTTP client for the agent: sends requests and parses the event stream of the response.

import { token } from "./token.js";

const CONNECTION_LOST = "The connection was lost before the answer was complete.";

/** An error response of the server. */
class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Fetch a URL of the server with the token. Throws an error that can be shown to the user. */
export async function fetchFromServer(url, options = {}) {
  const authorization = token() ? { Authorization: `Bearer ${token()}` } : {};
  const headers = { ...options.headers, ...authorization };
  const unreachable = "Could not reach the server. Check that it is running.";
  const response = await withMessage(unreachable, fetch(url, { ...options, headers }));
  if (!response.ok) throw new HttpError(response.status, await errorMessage(response));
  return response;
}

/** Send a request and yield the events of the response. */
export async function* streamResponse(request, signal) {
  const headers = { "Content-Type": "application/json", "x-mlflow-return-trace-id": "true" };
  const body = JSON.stringify(request);
  const response = await fetchFromServer("responses", { method: "POST", headers, body, signal });
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw new Error("The response is not an event stream. Check the proxy in front of the server.");
  }
  yield* events(response.body);
}

/** Return the message of an error response. Proxies may send other formats than the server. */
async function errorMessage(response) {
  if (response.status === 401) return "The server requires a valid token.";
  const body = await response.json().catch(() => null);
  const status = `${response.status} ${response.statusText}`.trim();
  return body?.error?.message ?? `The server responded with ${status}.`;
}

/** Yield the events of a stream until its end marker. */
async function* events(body) {
  for await (const line of lines(body)) {
    if (line === "data: [DONE]") return;
    if (line.startsWith("data: ")) yield JSON.parse(line.slice("data: ".length));
  }
  throw new Error(CONNECTION_LOST);
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await withMessage(CONNECTION_LOST, reader.read());
    if (done) return;
    const parts = (rest + value).split(/\r?\n/);
    rest = parts.pop();
    yield* parts;
  }
}

/** Replace the browser's message of a network error. An aborted request keeps its error. */
async function withMessage(message, promise) {
  try {
    return await promise;
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(message);
  }
}
