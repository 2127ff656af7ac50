// One turn on the page: the message, and what of the answer has come so far.

import { button, copyButton, element, folded, labelled, pretty } from "./dom.js";
import { MarkdownStream } from "./markdown.js";

const RAW_LIMIT = 200_000; // characters of events that are shown; more would make the page slow

export class TurnView {
  #turn;
  #calls = new Map(); // by the id of the item, and by that of the call
  #saying = null; // the message that is coming in
  #said = []; // messages as the agent wrote them
  #answer = element("div", { class: "answer" });
  #waiting = element("p", { class: "waiting" }, "Working …");
  #notes = element("div", { class: "notes" });
  #retry = null;

  constructor(turn, agent) {
    this.#turn = turn;
    const question = element("div", { class: "question" }, turn.message.content);
    this.node = element(
      "article",
      { "aria-busy": "true" },
      element("h2", { class: "unseen" }, "You"),
      question,
      element("h2", { class: "unseen" }, agent),
      this.#answer,
      this.#waiting,
      this.#notes,
    );
  }

  /** What the agent has said, as text. */
  get text() {
    return [...this.#answer.querySelectorAll(".message")].map((node) => node.innerText).join("\n");
  }

  /** Show an event of the answer. */
  show(event) {
    const { type, item } = event;
    if (type === "response.output_text.delta" || type === "response.refusal.delta") this.#say(event.delta);
    else if (type === "response.output_item.added" && item.type === "function_call") this.#call(item);
    else if (type === "response.function_call_arguments.delta") {
      this.#calls.get(event.item_id)?.addArguments(event.delta);
    } else if (type === "response.output_item.done") this.#finish(item);
  }

  /** Show how the answer ended, and what may be done now. */
  end(trace, retry) {
    const { state, failure } = this.#turn;
    this.#endMessage();
    for (const call of this.#calls.values()) call.giveUp();
    this.#waiting.remove();
    this.node.removeAttribute("aria-busy");
    if (state === "failed") this.#answer.append(element("p", { class: "error" }, failure));
    if (state === "stopped") this.#answer.append(element("p", { class: "ending" }, "You stopped this answer."));
    this.#retry = button("Retry", retry);
    const copy = this.#said.length ? copyButton(this.#answer, () => this.#said.join("\n\n")) : "";
    this.#notes.append(this.#retry, copy, this.#raw(), trace);
  }

  /** Only the last turn can be tried again. */
  forgetRetry() {
    this.#retry?.remove();
  }

  #say(text) {
    if (!this.#saying) {
      const node = element("div", { class: "message" });
      this.#answer.append(node);
      this.#saying = { node, stream: new MarkdownStream(node), text: "" };
    }
    this.#saying.text += text;
    this.#saying.stream.write(text);
  }

  #endMessage() {
    if (!this.#saying) return;
    this.#saying.stream.end();
    this.#said.push(this.#saying.text);
    this.#saying = null;
  }

  #finish(item) {
    if (item.type === "message") this.#finishMessage(item);
    else if (item.type === "function_call") this.#call(item).setArguments(item.arguments);
    else if (item.type === "function_call_output") this.#output(item);
    else if (item.type === "reasoning") this.#fold("Reasoning", labelled("Summary", reasoning(item)));
    else this.#fold(item.type, labelled("Item", pretty(JSON.stringify(item))));
  }

  /** The whole text has the last word, whatever its pieces were. */
  #finishMessage(item) {
    const text = item.content.map((part) => part.text ?? part.refusal ?? "").join("");
    if (this.#saying && this.#saying.text !== text) {
      this.#saying.node.remove();
      this.#saying = null;
    }
    if (!this.#saying) this.#say(text);
    this.#endMessage();
  }

  #call(item) {
    const known = this.#calls.get(item.id);
    if (known) return known;
    this.#endMessage();
    const call = new Call(item.name);
    this.#calls.set(item.id, call);
    this.#calls.set(item.call_id, call);
    this.#answer.append(call.node);
    return call;
  }

  #output(item) {
    const call = this.#calls.get(item.call_id);
    const text = typeof item.output === "string" ? item.output : JSON.stringify(item.output);
    if (call) call.setOutput(text);
    else this.#fold("Output", labelled("Output", pretty(text)));
  }

  #fold(summary, ...children) {
    this.#endMessage();
    this.#answer.append(folded("call", summary, ...children));
  }

  /** The request and the events as they were, written down when somebody looks. */
  #raw() {
    const request = labelled("Request");
    const events = labelled("Events");
    const node = folded("raw", "Request and events", request, events);
    node.addEventListener("toggle", () => {
      request.lastChild.textContent = JSON.stringify(this.#turn.request, null, 2);
      const text = this.#turn.events.map((event) => JSON.stringify(event)).join("\n");
      events.lastChild.textContent = text.slice(0, RAW_LIMIT) + (text.length > RAW_LIMIT ? "\n…" : "");
    });
    return node;
  }
}

/** A tool that is called, folded. */
class Call {
  #written = "";
  #preview = element("code", { class: "preview" });
  #state = element("span", { class: "state" });
  #arguments = labelled("Arguments");
  #output = labelled("Output");

  constructor(name) {
    const title = element("code", { class: "name" }, name);
    this.node = folded("call", [title, " ", this.#preview, " ", this.#state], this.#arguments);
    this.#be("running", "running …");
  }

  addArguments(text) {
    this.setArguments(this.#written + text);
  }

  setArguments(text) {
    this.#written = text;
    this.#preview.textContent = text.slice(0, 200);
    this.#arguments.lastChild.textContent = pretty(text);
  }

  setOutput(text) {
    this.#output.lastChild.textContent = pretty(text);
    this.node.append(this.#output);
    this.#be(text.startsWith("Error: ") ? "failed" : "done"); // as toolbox.py writes it
  }

  /** Say so if the answer ended before the output had come. */
  giveUp() {
    if (this.node.dataset.state === "running") this.#be("left", "no output");
  }

  #be(state, words = state) {
    this.node.dataset.state = state;
    this.#state.textContent = words;
  }
}

function reasoning(item) {
  const parts = [...(item.summary ?? []), ...(item.content ?? [])];
  return parts.map((part) => part.text).join("\n\n");
}
