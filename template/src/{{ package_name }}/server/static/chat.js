// The chat page: what the reader does, and what becomes of it.

import { ask, fetchWith } from "./client.js";
import { Turn, history } from "./history.js";
import { element, folded, labelled } from "./dom.js";
import { askForToken, token } from "./token.js";
import { TurnView } from "./turn_view.js";

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));
const agent = page.agent.textContent;

let settings = {};
let turns = []; // each with its view
let running = null; // aborts the answer that is coming in
let atEnd = true; // whether the reader follows the answer

// --- Settings and custom inputs ---

/** Learn what to begin with, and where traces are; the page works without it. */
async function loadSettings(why = "It is kept in this tab until you close it.") {
  try {
    settings = await (await fetchWith(token(), "chat/settings")).json();
  } catch (error) {
    if (error.status === 401 && (await askForToken(why))) await loadSettings("The server did not take that token.");
    return;
  }
  const { input, custom_inputs: inputs } = settings.example;
  if (inputs && !page["custom-inputs"].value) page["custom-inputs"].value = JSON.stringify(inputs, null, 2);
  const question = typeof input?.[0]?.content === "string" ? input[0].content : "";
  page.example.textContent = question;
  page.example.hidden = !question;
}

/** What is to be sent as custom_inputs, or null; throws when it is no JSON object. */
function customInputs() {
  const text = page["custom-inputs"].value.trim();
  if (!text) return null;
  const value = JSON.parse(text);
  if (Object.prototype.toString.call(value) === "[object Object]") return value;
  throw new Error('write an object, such as {"name": "value"}');
}

/** Whether the custom inputs can be sent; says what is wrong with them if not. */
function checkCustomInputs() {
  try {
    customInputs();
    return true;
  } catch (error) {
    page.custom.open = true;
    page["custom-inputs"].focus();
    sayOfCustomInputs(`This cannot be sent: ${error.message}.`);
    return false;
  }
}

function sayOfCustomInputs(wrong) {
  page["custom-error"].textContent = wrong;
  page["custom-inputs"].setAttribute("aria-invalid", String(wrong !== ""));
}

// --- Turns ---

/** Send a message with all that was said before; returns whether it was sent. */
function send(message) {
  if (running || !message.trim() || !checkCustomInputs()) return false;
  turns.at(-1)?.view.forgetRetry();
  const turn = new Turn(message, history(turns.map((earlier) => earlier.turn)), customInputs());
  const view = new TurnView(turn, agent);
  turns.push({ turn, view });
  page.welcome.hidden = true;
  page.turns.append(view.node);
  atEnd = true;
  answer(turn, view);
  return true;
}

async function answer(turn, view) {
  const asking = new AbortController();
  setRunning(asking);
  announce(`${agent} is answering.`);
  const error = await follow(turn, view, asking.signal);
  turn.end(asking.signal.aborted, error);
  if (running !== asking) return; // a new chat has begun
  view.end(traceNote(turn.traceId), retry);
  setRunning(null);
  announce({ done: `${agent}: ${view.text}`, stopped: "Stopped.", failed: turn.failure }[turn.state]);
  if (error?.status === 401 && (await askForToken(error.message))) {
    retry();
    if (!settings.example) loadSettings();
  }
}

/** Show the events of an answer; returns the error that ended it, if one did. */
async function follow(turn, view, signal) {
  try {
    for await (const event of ask(turn.request, token(), signal)) {
      turn.note(event);
      view.show(event);
    }
    return null;
  } catch (error) {
    return error;
  }
}

/** Ask the last message again, without its answer. */
function retry() {
  if (running || !checkCustomInputs()) return;
  const { turn, view } = turns.pop();
  view.node.remove();
  send(turn.message.content);
  page.message.focus();
}

function startAnew() {
  running?.abort();
  setRunning(null);
  turns = [];
  page.turns.replaceChildren();
  page.welcome.hidden = false;
  page.message.focus();
  announce("A new chat.");
}

function setRunning(asking) {
  running = asking;
  const inButton = [page.send, page.stop].includes(document.activeElement);
  page.send.hidden = asking !== null;
  page.stop.hidden = asking === null;
  if (inButton) page.message.focus();
}

/** Where the trace of an answer is to be seen. */
function traceNote(id) {
  if (!/^(tr-|trace:)/.test(id)) return "";
  if (settings.trace_url) {
    const url = settings.trace_url.replace("{trace_id}", encodeURIComponent(id));
    return element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, "Trace");
  }
  const command = settings.trace_command;
  return folded("trace", "Trace", labelled("Its name", id), command ? labelled("To look at it, run", command) : []);
}

/** Let screen readers say something; long answers are cut, as they can be read in the page. */
function announce(text) {
  page.announcer.textContent = text.slice(0, 2000);
}

// --- What the reader does ---

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (send(page.message.value)) page.message.value = "";
});

page.message.addEventListener("keydown", (event) => {
  // 229: Safari's Enter that ends the composing of a word
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  page.composer.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) running?.abort();
});

page.stop.addEventListener("click", () => running?.abort());
page["new-chat"].addEventListener("click", startAnew);
page.example.addEventListener("click", () => {
  send(page.example.textContent);
  page.message.focus();
});
page["custom-inputs"].addEventListener("input", () => sayOfCustomInputs(""));

// Follow the answer, unless the reader has scrolled up to read.
let scrolled = 0;
document.addEventListener("scroll", () => {
  atEnd = scrollY >= scrolled ? atEnd || isAtEnd() : isAtEnd();
  scrolled = scrollY;
});
new ResizeObserver(() => {
  if (running && atEnd) scrollTo(0, document.documentElement.scrollHeight);
}).observe(page.turns);

function isAtEnd() {
  return innerHeight + scrollY >= document.documentElement.scrollHeight - 8;
}

loadSettings();
