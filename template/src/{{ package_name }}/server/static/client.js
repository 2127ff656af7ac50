// HTTP client for the agent: sends requests and parses the event stream of the response.

import { Failure } from "./failure.js";
import { token } from "./token.js";

const CONNECTION_LOST = "The connection was lost before the answer was complete.";

/** Fetch a URL of the server with the token. Throws a failure that can be shown to the user. */
export async function fetchFromServer(url, options = {}) {
  const authorization = token() ? { Authorization: `Bearer ${token()}` } : {};
  const headers = { ...options.headers, ...authorization };
  const unreachable = "Could not reach the server.";
  const response = await withMessage(unreachable, fetch(url, { ...options, headers }));
  if (!response.ok) throw await failureFrom(response);
  return response;
}

/** Send a request and yield the events of the response. */
export async function* streamResponse(request, signal) {
  const headers = { "Content-Type": "application/json", "x-mlflow-return-trace-id": "true" };
  const body = JSON.stringify(request);
  const response = await fetchFromServer("responses", { method: "POST", headers, body, signal });
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw new Failure("A proxy in front of the server replaced the answer.", "no_stream");
  }
  yield* events(response.body);
}

/** Return the failure of an error response. Proxies may send other formats than the server. */
async function failureFrom(response) {
  if (response.status === 401) return new Failure("The server requires a valid token.", 401);
  const { error } = (await response.json().catch(() => null)) ?? {};
  const status = `${response.status} ${response.statusText}`.trim();
  const message = error?.message ?? `The server responded with ${status}.`;
  const retryAfter = response.headers.get("retry-after");
  return new Failure(message, error?.code ?? response.status, { retry_after: retryAfter, ...error });
}

/** Yield the events of a stream until its end marker. */
async function* events(body) {
  for await (const line of lines(body)) {
    if (line === "data: [DONE]") return;
    if (line.startsWith("data: ")) yield JSON.parse(line.slice("data: ".length));
  }
  throw new Failure(CONNECTION_LOST, "connection_lost");
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
    throw error.name === "AbortError" ? error : new Failure(message, "connection_lost");
  }
}
