// The chat page: connects the user's actions with the server, the conversation and its view.

import { fetchFromServer, streamResponse } from "./client.js";
import { collapsible, element, labeledText } from "./dom.js";
import { Turn, conversationItems } from "./history.js";
import { requestToken } from "./token.js";
import { TurnView } from "./turn_view.js";

const nodes = [...document.querySelectorAll("[id]")].map((node) => [node.id, node]);
const page = Object.fromEntries(nodes); // elements by id
const agentName = page["agent-name"].textContent;
const customInputs = page["custom-inputs"];

let settings = {};
let turns = []; // {turn, view}, in order
let running = null; // the AbortController of the running request
let isFollowing = true; // whether the page scrolls with the answer

// --- Settings and custom inputs ---

/** Load the example request and the location of traces. The page also works without them. */
async function loadSettings() {
  try {
    settings = await (await fetchFromServer("chat/settings")).json();
  } catch (error) {
    if (error.code === 401 && (await requestToken())) await loadSettings();
    return;
  }
  const { input, custom_inputs: inputs } = settings.example;
  if (inputs && !customInputs.value) customInputs.value = JSON.stringify(inputs, null, 2);
  const question = typeof input?.[0]?.content === "string" ? input[0].content : "";
  page.example.textContent = question;
  page.example.hidden = !question;
}

/** Return the custom inputs, or null if there are none. Throws if they are not a JSON object. */
function parseCustomInputs() {
  const text = customInputs.value.trim();
  if (!text) return null;
  const value = JSON.parse(text);
  if (value && typeof value === "object" && !Array.isArray(value)) return value;
  throw new Error('expected a JSON object, such as {"name": "value"}');
}

/** Show what is wrong with the custom inputs. Returns whether they are valid. */
function validateCustomInputs() {
  try {
    parseCustomInputs();
    return true;
  } catch (error) {
    page["custom-section"].open = true;
    customInputs.focus();
    showCustomInputsError(`Invalid custom inputs: ${error.message}.`);
    return false;
  }
}

function showCustomInputsError(message) {
  page["custom-error"].textContent = message;
  customInputs.setAttribute("aria-invalid", String(message !== ""));
}

// --- Turns ---

/** Send a message with the conversation so far. Returns whether it was sent. */
function send(text) {
  if (running || !text.trim() || !validateCustomInputs()) return false;
  const previousItems = conversationItems(turns.map(({ turn }) => turn));
  const turn = new Turn(text, previousItems, parseCustomInputs());
  const view = new TurnView(turn, agentName);
  turns.push({ turn, view });
  page.welcome.hidden = true;
  page.turns.append(view.node);
  isFollowing = true;
  run(turn, view);
  return true;
}

async function run(turn, view) {
  const controller = new AbortController();
  setRunning(controller);
  announce(`${agentName} is answering.`);
  const error = await showEvents(turn, view, controller.signal);
  turn.finish(controller.signal.aborted, error);
  if (running !== controller) return; // the user has started a new chat
  view.finish(traceNode(turn.traceId), retry);
  follow(); // while the request counts as running
  setRunning(null);
  const failed = `${turn.failure?.message} ${turn.failure?.advice}`;
  announce({ done: `${agentName}: ${view.text}`, stopped: "Stopped.", failed }[turn.state]);
  if (error?.code === 401 && (await requestToken())) {
    retry();
    if (!settings.example) loadSettings();
  }
}

/** Show the events of the response. Returns the error that ended it, or null. */
async function showEvents(turn, view, signal) {
  try {
    for await (const event of streamResponse(turn.request, signal)) {
      turn.addEvent(event);
      view.addEvent(event);
    }
    return null;
  } catch (error) {
    return error;
  }
}

/** Replace the last turn with a new attempt. */
function retry() {
  if (running || !validateCustomInputs()) return;
  const { turn, view } = turns.pop();
  view.node.remove();
  send(turn.message.content);
  page.message.focus();
}

function startNewChat() {
  running?.abort();
  setRunning(null);
  turns = [];
  page.turns.replaceChildren();
  page.welcome.hidden = false;
  page.message.focus();
  announce("New chat started.");
}

function setRunning(controller) {
  running = controller;
  const hadFocus = [page.send, page.stop].includes(document.activeElement);
  page.send.hidden = controller !== null;
  page.stop.hidden = controller === null;
  if (hadFocus) page.message.focus();
}

/** Create a link to a trace, or a section with the command that shows it. */
function traceNode(traceId) {
  if (!/^(tr-|trace:)/.test(traceId)) return "";
  const { trace_url: url, trace_command: command } = settings;
  const href = url?.replace("{trace_id}", encodeURIComponent(traceId));
  const attributes = { href, target: "_blank", rel: "noopener noreferrer" };
  if (href && !command) return element("a", attributes, "Trace");
  const details = command ? [labeledText("Start the trace viewer with", command)] : [];
  // The viewer's address is valid on the machine of the server only.
  const isLocal = /^(localhost|127\.0\.0\.1)$/.test(location.hostname);
  if (href && isLocal) details.push(element("a", attributes, "Open the trace in the viewer"));
  return collapsible("trace", "Trace", labeledText("Trace ID", traceId), ...details);
}

/** Announce text to screen readers. The full text of long answers is in the page. */
function announce(text) {
  page.announcer.textContent = text.slice(0, 2000);
}

// --- User actions ---

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (send(page.message.value)) page.message.value = "";
});

page.message.addEventListener("keydown", (event) => {
  // Enter may confirm a word of an input method editor. Safari marks this with key code 229 only.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  page.composer.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) running?.abort();
});

page.stop.addEventListener("click", () => running?.abort());
page["new-chat"].addEventListener("click", startNewChat);
page.example.addEventListener("click", () => {
  send(page.example.textContent);
  page.message.focus();
});
customInputs.addEventListener("input", () => showCustomInputsError(""));

// Scroll with the answer until the user scrolls up.
let lastScrollY = 0;
document.addEventListener("scroll", () => {
  const isAtEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 8;
  isFollowing = isAtEnd || (isFollowing && scrollY >= lastScrollY);
  lastScrollY = scrollY;
});
new ResizeObserver(follow).observe(page.turns);

/** Scroll to the end of a running answer, unless the user scrolled up. */
function follow() {
  if (running && isFollowing) scrollTo(0, document.documentElement.scrollHeight);
  lastScrollY = scrollY;
}

loadSettings();
