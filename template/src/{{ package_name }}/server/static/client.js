// Asking the agent over HTTP, and reading the events of its answer as they come.

/** The server does not answer, for a reason that it gives. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Fetch from the server, with its token if there is one. */
export async function fetchWith(token, url, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Is it still running?");
  }
  if (!response.ok) throw new Refused(response.status, await reason(response));
  return response;
}

/** Ask for an answer; yields its events, of which the first or the last may name the trace. */
export async function* ask(request, token, signal) {
  const headers = { "Content-Type": "application/json", "x-mlflow-return-trace-id": "true" };
  const body = JSON.stringify(request);
  const response = await fetchWith(token, "responses", { method: "POST", headers, body, signal });
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw new Error("What answered sent no stream of events. Is something between this page and the server?");
  }
  yield* events(response.body);
}

/** Why a request failed, in the words of the server if it has some. */
async function reason(response) {
  const text = await response.text().catch(() => "");
  const plain = `The server answered ${response.status} ${response.statusText}`.trim() + ".";
  try {
    const answer = JSON.parse(text);
    return answer.error?.message ?? (typeof answer.detail === "string" ? answer.detail : plain);
  } catch {
    return plain;
  }
}

/** The events of a stream, up to its mark of the end. */
async function* events(body) {
  for await (const line of lines(body)) {
    if (line === "data: [DONE]") return;
    if (line.startsWith("data: ")) yield JSON.parse(line.slice("data: ".length));
  }
  throw new Error("The connection was lost before the answer had ended.");
}

/** The lines of a stream of bytes. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await read(reader);
    if (done) return;
    const whole = (rest + value).split(/\r?\n/);
    rest = whole.pop();
    yield* whole;
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The connection was lost before the answer had ended.");
  }
}
