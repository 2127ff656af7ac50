// The view of one turn: the user's message and the answer as it streams in.

import { button, collapsible, copyButton, element, formatJson, labeledText } from "./dom.js";
import { MarkdownStream } from "./markdown.js";

const MAX_RAW_CHARACTERS = 200_000; // more would make the page slow

export class TurnView {
  #turn;
  #calls = new Map(); // by item id and by call id
  #message = null; // the message that is streaming
  #texts = []; // the Markdown of each finished message
  #answer = element("div", { class: "answer" });
  #progress = element("p", { class: "progress" }, "Working …");
  #actions = element("div", { class: "actions" });

  constructor(turn, agentName) {
    this.#turn = turn;
    this.node = element(
      "article",
      { "aria-busy": "true" },
      element("h2", { class: "visually-hidden" }, "You"),
      element("div", { class: "user-message" }, turn.message.content),
      element("h2", { class: "visually-hidden" }, agentName),
      this.#answer,
      this.#progress,
      this.#actions,
    );
  }

  /** The text of the answer as displayed. */
  get text() {
    const messages = [...this.#answer.querySelectorAll(".message")];
    return messages.map((node) => node.innerText).join("\n");
  }

  /** Show an event of the response. */
  addEvent({ type, item, item_id: itemId, delta }) {
    if (type === "response.output_text.delta" || type === "response.refusal.delta") {
      this.#addText(delta);
    } else if (type === "response.output_item.added" && item.type === "function_call") {
      this.#toolCall(item);
    } else if (type === "response.function_call_arguments.delta") {
      this.#calls.get(itemId)?.addArguments(delta);
    } else if (type === "response.output_item.done") {
      this.#finishItem(item);
    }
  }

  /** Show the final state of the turn and the available actions. */
  finish(traceNode, onRetry) {
    const { state, failure } = this.#turn;
    this.#endMessage();
    for (const call of this.#calls.values()) call.finish();
    this.#progress.remove();
    this.node.removeAttribute("aria-busy");
    if (state === "failed") this.#answer.append(...failureNodes(failure));
    if (state === "stopped") {
      this.#answer.append(element("p", { class: "stopped" }, "You stopped this answer."));
    }
    const retry = button("Retry", onRetry, "retry"); // visible in the last turn only
    const copy = this.#texts.length ? copyButton(this.#answer, () => this.#texts.join("\n\n")) : "";
    this.#actions.append(retry, copy, this.#rawData(), traceNode, statistics(this.#turn));
  }

  #addText(text) {
    if (!this.#message) {
      this.#message = new MarkdownStream(element("div", { class: "message" }));
      this.#answer.append(this.#message.node);
    }
    this.#message.write(text);
  }

  #endMessage() {
    if (!this.#message) return;
    this.#message.finish();
    this.#texts.push(this.#message.text);
    this.#message = null;
  }

  #finishItem(item) {
    if (item.type === "message") this.#finishMessage(item);
    else if (item.type === "function_call") this.#toolCall(item).setArguments(item.arguments);
    else if (item.type === "function_call_output") this.#addOutput(item);
    else if (item.type === "reasoning") this.#addItem("Reasoning", "Summary", reasoningText(item));
    else this.#addItem(item.type, "Item", JSON.stringify(item));
  }

  /** End a message. The text of the finished item replaces the deltas if they differ. */
  #finishMessage(item) {
    const text = item.content.map((part) => part.text ?? part.refusal ?? "").join("");
    if (this.#message && this.#message.text !== text) {
      this.#message.node.remove();
      this.#message = null;
    }
    if (!this.#message) this.#addText(text);
    this.#endMessage();
  }

  /** Return the view of a tool call; add it if it is new. */
  #toolCall(item) {
    if (!this.#calls.has(item.id)) {
      this.#endMessage();
      const call = new ToolCallView(item.name);
      this.#calls.set(item.id, call);
      this.#calls.set(item.call_id, call);
      this.#answer.append(call.node);
    }
    return this.#calls.get(item.id);
  }

  #addOutput({ call_id: callId, output }) {
    const text = typeof output === "string" ? output : JSON.stringify(output);
    if (this.#calls.has(callId)) this.#calls.get(callId).setOutput(text);
    else this.#addItem("Output", "Output", text);
  }

  #addItem(summary, label, text) {
    this.#endMessage();
    this.#answer.append(collapsible("item", summary, labeledText(label, formatJson(text))));
  }

  /** Create the section with the request and the events. It is filled when it is expanded. */
  #rawData() {
    const request = labeledText("Request");
    const events = labeledText("Events");
    const node = collapsible("raw", "Request and events", request, events);
    node.addEventListener("toggle", () => {
      request.lastChild.textContent = JSON.stringify(this.#turn.request, null, 2);
      const text = this.#turn.events.map((event) => JSON.stringify(event)).join("\n");
      const end = text.length > MAX_RAW_CHARACTERS ? "\n…" : "";
      events.lastChild.textContent = text.slice(0, MAX_RAW_CHARACTERS) + end;
    });
    return node;
  }
}

/** A tool call: its name, state, arguments and output. */
class ToolCallView {
  #argumentText = "";
  #preview = element("code", { class: "preview" });
  #status = element("span", { class: "status" });
  #arguments = labeledText("Arguments");
  #output = labeledText("Output");

  constructor(name) {
    const title = [element("code", { class: "name" }, name), " ", this.#preview, " ", this.#status];
    this.node = collapsible("item", title, this.#arguments);
    this.#setState("running", "running …");
  }

  addArguments(delta) {
    this.setArguments(this.#argumentText + delta);
  }

  setArguments(text) {
    this.#argumentText = text;
    this.#preview.textContent = text.slice(0, 200);
    this.#arguments.lastChild.textContent = formatJson(text);
  }

  setOutput(text) {
    this.#output.lastChild.textContent = formatJson(text);
    this.node.append(this.#output);
    this.#setState(text.startsWith("Error: ") ? "failed" : "done"); // the prefix is from toolbox.py
  }

  /** Mark a call without output at the end of the turn. */
  finish() {
    if (this.node.dataset.state === "running") this.#setState("incomplete", "no output");
  }

  #setState(state, label = state) {
    this.node.dataset.state = state;
    this.#status.textContent = label;
  }
}

function failureNodes({ message, advice, errorId }) {
  const id = errorId ? labeledText("Error ID, for the operator", errorId) : "";
  return [element("p", { class: "error" }, message), element("p", {}, advice), id];
}

/** Create the text with the duration and the tokens of an answer. */
function statistics({ seconds, usage }) {
  const tokens = usage ? `, ${usage.total_tokens.toLocaleString("en")} tokens` : "";
  return element("span", {}, `${seconds.toFixed(1)} s${tokens}`);
}

function reasoningText(item) {
  const parts = [...(item.summary ?? []), ...(item.content ?? [])];
  return parts.map((part) => part.text).join("\n\n");
}
