// Markdown inside a block: emphasis, code and links. HTML stays text, and images become links.
//
// Emphasis follows CommonMark: the parser collects runs of *, _ and ~, and pairs them afterwards.
// References such as [text][label] stay text until `resolveReferences` finds their definition.

import { element } from "./dom.js";

const MAX_DEPTH = 20; // of nested elements
const MAX_LABEL = 200; // characters of a reference label
const SAFE_PROTOCOLS = new Set(["http:", "https:", "mailto:"]);
const PLAIN_TEXT = /[^\\`*_~[\]!<&h\n]+/y;
const DELIMITER_RUN = /\*+|_+|~+/y;
const BACKTICKS = /`+/y;
const BARE_URL = /https?:\/\/[^\s<>"`\\[\]]+/y;
const AUTOLINK = /<((?:https?:\/\/|mailto:)[^\s<>]+)>/y;
const LINE_BREAK = /<br ?\/?>/iy;
const REFERENCE_LABEL = /\[([^[\]]{0,200})\]/y;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]{2,8}));/y;
const ENTITIES = new Map(
  Object.entries({
    amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®",
    trade: "™", hellip: "…", ndash: "–", mdash: "—", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”",
    laquo: "«", raquo: "»", bull: "•", middot: "·", deg: "°", times: "×", divide: "÷", plusmn: "±",
    minus: "−", le: "≤", ge: "≥", ne: "≠", larr: "←", rarr: "→", uarr: "↑", darr: "↓", euro: "€",
    pound: "£", cent: "¢", sect: "§", para: "¶", micro: "µ",
  }),
);
// The destination of a link, and its title. The bounds limit the time of a failed match.
const DESTINATION =
  /\(\s{0,9}(?:<([^<>\n]{0,2000})>|((?:[^\s()<>]|\([^\s()<>]{0,500}\)){0,2000}))(?:\s{1,9}(?:"[^"]{0,500}"|'[^']{0,500}'))?\s{0,9}\)/y;

/** Parse a text into a document fragment. */
export function parseInline(text) {
  return new InlineParser(text).parse();
}

class InlineParser {
  #text;
  #position = 0;
  #tokens = []; // strings, nodes and delimiter runs
  #brackets = []; // open brackets: {token, start}, indexes of the token and of the label's text
  #backticks = null;

  constructor(text) {
    this.#text = text;
  }

  parse() {
    while (this.#position < this.#text.length) {
      const plain = this.#match(PLAIN_TEXT);
      if (plain) this.#addText(plain[0]);
      else this.#parseSpecial(this.#text[this.#position]);
    }
    return buildNodes(this.#tokens);
  }

  /** Match a sticky pattern at the current position, and move behind it. */
  #match(pattern) {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.#text);
    if (match) this.#position = pattern.lastIndex;
    return match;
  }

  #addText(text) {
    if (typeof this.#tokens.at(-1) === "string") this.#tokens.push(this.#tokens.pop() + text);
    else this.#tokens.push(text);
  }

  #parseSpecial(character) {
    if (character === "`") this.#parseCode();
    else if (character === "\n") this.#parseLineEnd();
    else if (character === "\\") this.#parseEscape();
    else if (character === "[") this.#openBracket("[");
    else if (character === "]") this.#closeBracket();
    else if (character === "<") this.#parseAngleBracket();
    else if (character === "&") this.#parseEntity();
    else if (this.#text.startsWith("![", this.#position)) this.#openBracket("![");
    else if (character === "h" && this.#parseBareUrl()) return;
    else if ("*_~".includes(character)) this.#parseDelimiterRun();
    else this.#addCharacter();
  }

  #addCharacter() {
    this.#addText(this.#text[this.#position]);
    this.#position += 1;
  }

  #parseCode() {
    const [opening] = this.#match(BACKTICKS);
    const end = this.#findBackticks(opening.length);
    if (end === undefined) {
      this.#addText(opening);
      return;
    }
    const code = this.#text.slice(this.#position, end).replaceAll("\n", " ");
    const isPadded = code.startsWith(" ") && code.endsWith(" ") && code.trim();
    this.#tokens.push(element("code", {}, isPadded ? code.slice(1, -1) : code));
    this.#position = end + opening.length;
  }

  /** Return the position of the next run of `count` backticks, in amortized constant time. */
  #findBackticks(count) {
    this.#backticks ??= backtickPositions(this.#text);
    const positions = this.#backticks.get(count) ?? [];
    while (positions.at(-1) < this.#position) positions.pop();
    return positions.at(-1);
  }

  #parseLineEnd() {
    const previous = this.#tokens.at(-1);
    if (typeof previous === "string") {
      this.#tokens.splice(-1, 1, previous.trimEnd());
      if (previous.endsWith("  ")) this.#tokens.push(element("br"));
    }
    this.#tokens.push("\n");
    this.#position += 1;
  }

  #parseEscape() {
    const next = this.#text[this.#position + 1] ?? "";
    if (next === "\n") this.#tokens.push(element("br"));
    else this.#addText(/[!-/:-@[-`{-~]/.test(next) ? next : `\\${next}`);
    this.#position += 2;
  }

  #openBracket(bracket) {
    this.#position += bracket.length;
    this.#brackets.push({ token: this.#tokens.push(bracket) - 1, start: this.#position });
    this.#tokens.push(""); // keeps the following text out of the bracket's token
  }

  #closeBracket() {
    this.#position += 1;
    const opening = this.#brackets.pop();
    const destination = opening && this.#match(DESTINATION);
    const url = destination && safeUrl(decodeEntities(destination[1] ?? destination[2]));
    if (url) this.#addLink(opening, url);
    else if (opening && !destination) this.#addReference(opening);
    else this.#addText(`]${destination?.[0] ?? ""}`);
  }

  #addLink(opening, url) {
    const [bracket, ...label] = this.#tokens.splice(opening.token);
    if (bracket === "[") this.#brackets.length = 0; // links cannot contain links
    this.#tokens.push(link(url, bracket === "[" ? buildNodes(label) : imageText(label)));
  }

  /** Add a possible reference: [label], [label][] or [text][label]. */
  #addReference({ token, start }) {
    const text = this.#text.slice(start, this.#position - 1);
    const isLabel = text.length <= MAX_LABEL && text.trim() && !/[[\]]/.test(text);
    if (this.#tokens[token] !== "[" || !isLabel) {
      this.#addText("]");
      return;
    }
    const [suffix, label] = this.#match(REFERENCE_LABEL) ?? [""];
    const [bracket, ...content] = this.#tokens.splice(token);
    const attributes = { "data-reference": normalizeLabel(label || text) };
    this.#tokens.push(element("span", attributes, bracket, buildNodes(content), `]${suffix}`));
  }

  #parseEntity() {
    const entity = this.#match(ENTITY);
    if (entity) this.#addText(decodeEntities(entity[0]));
    else this.#addCharacter();
  }

  #parseAngleBracket() {
    if (this.#match(LINE_BREAK)) {
      this.#tokens.push(element("br"));
      return;
    }
    const [match, address] = this.#match(AUTOLINK) ?? [];
    if (match) this.#addUrl(address, match);
    else this.#addCharacter();
  }

  /** Parse a URL without brackets. Returns whether there is one. */
  #parseBareUrl() {
    if (/\w/.test(this.#text[this.#position - 1] ?? "")) return false;
    const start = this.#position;
    const match = this.#match(BARE_URL);
    if (!match) return false;
    const address = trimPunctuation(match[0]);
    this.#addUrl(address, address);
    this.#position = start + address.length;
    return true;
  }

  #addUrl(address, fallbackText) {
    const url = safeUrl(address);
    if (url) this.#tokens.push(link(url, address));
    else this.#addText(fallbackText);
  }

  #parseDelimiterRun() {
    const before = this.#text[this.#position - 1];
    const [run] = this.#match(DELIMITER_RUN);
    this.#tokens.push(new DelimiterRun(run, before, this.#text[this.#position]));
  }
}

/** Return the positions of all runs of backticks by their length, the last one first. */
function backtickPositions(text) {
  const positions = new Map();
  for (const { 0: run, index } of [...text.matchAll(/`+/g)].reverse()) {
    if (!positions.has(run.length)) positions.set(run.length, []);
    positions.get(run.length).push(index);
  }
  return positions;
}

/** A run of *, _ or ~, which may open and close emphasis. */
class DelimiterRun {
  openedElements = []; // names of the elements that start here, the innermost first
  closedCount = 0; // the number of elements that end here

  constructor(text, before = " ", after = " ") {
    this.character = text[0];
    this.length = this.remaining = text.length;
    const isPunctuation = (character) => /[\p{P}\p{S}]/u.test(character);
    const isBoundary = (character) => /\s/.test(character) || isPunctuation(character);
    const isLeft = !/\s/.test(after) && (!isPunctuation(after) || isBoundary(before));
    const isRight = !/\s/.test(before) && (!isPunctuation(before) || isBoundary(after));
    const isValid = this.character !== "~" || this.length === 2;
    const isInWord = this.character === "_" && isLeft && isRight;
    this.canOpen = isValid && isLeft && (!isInWord || isPunctuation(before));
    this.canClose = isValid && isRight && (!isInWord || isPunctuation(after));
  }

  /** Whether this run can close the other one, by CommonMark's "rule of three". */
  matches(opener) {
    if (opener.character !== this.character) return false;
    const isAmbiguous = opener.canClose || this.canOpen;
    const isMultiple = (opener.length + this.length) % 3 === 0;
    return !isAmbiguous || !isMultiple || (opener.length % 3 === 0 && this.length % 3 === 0);
  }
}

/** Pair opening and closing runs. A failed search is not repeated, so the time is linear. */
function pairRuns(runs) {
  const openers = []; // {run, index}
  const searched = new Map(); // the last index without an opener, by kind of closer
  for (const [index, run] of runs.entries()) {
    const kind = `${run.character}${run.canOpen}${run.length % 3}`;
    while (run.canClose && run.remaining) {
      const lowest = searched.get(kind) ?? -1;
      let at = openers.length - 1;
      while (at >= 0 && openers[at].index > lowest && !run.matches(openers[at].run)) at -= 1;
      if (at < 0 || openers[at].index <= lowest) {
        searched.set(kind, index - 1);
        break;
      }
      pair(openers[at].run, run);
      openers.length = openers[at].run.remaining ? at + 1 : at;
    }
    if (run.canOpen && run.remaining) openers.push({ run, index });
  }
}

function pair(opener, closer) {
  const width = Math.min(opener.remaining, closer.remaining, 2);
  const name = width === 2 ? "strong" : "em";
  opener.openedElements.push(opener.character === "~" ? "del" : name);
  opener.remaining -= width;
  closer.remaining -= width;
  closer.closedCount += 1;
}

/** Convert tokens to a document fragment. */
function buildNodes(tokens) {
  pairRuns(tokens.filter((token) => token instanceof DelimiterRun));
  const fragment = document.createDocumentFragment();
  const open = [fragment];
  for (const token of tokens) {
    if (!(token instanceof DelimiterRun)) {
      open.at(-1).append(token);
      continue;
    }
    open.length -= token.closedCount;
    open.at(-1).append(token.character.repeat(token.remaining));
    for (const name of token.openedElements.reverse()) {
      const isTooDeep = open.length > MAX_DEPTH;
      const node = isTooDeep ? open.at(-1) : element(name);
      if (!isTooDeep) open.at(-1).append(node);
      open.push(node);
    }
  }
  return fragment;
}

/** Return a normalized URL, or null if its protocol is not allowed. */
export function safeUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  return SAFE_PROTOCOLS.has(url?.protocol) ? url.href : null;
}

function decodeEntities(text) {
  return text.replace(new RegExp(ENTITY, "g"), (entity, decimal, hexadecimal, name) => {
    if (name) return ENTITIES.get(name) ?? entity;
    const code = decimal ? Number(decimal) : parseInt(hexadecimal, 16);
    const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return String.fromCodePoint(isCharacter ? code : 0xfffd);
  });
}

/** Labels match regardless of case and spaces. */
export function normalizeLabel(text) {
  return text.trim().replace(/\s+/g, " ").toLowerCase();
}

/** Turn references into links if an element contains their definition; the rest stays text. */
export function resolveReferences(parent) {
  const definitions = new Map();
  for (const node of parent.querySelectorAll("[data-definition]")) {
    if (!definitions.has(node.dataset.definition)) definitions.set(node.dataset.definition, node);
    node.hidden = false;
  }
  for (const node of parent.querySelectorAll("[data-reference]")) {
    const definition = definitions.get(node.dataset.reference);
    if (!definition || node.closest("a")) continue;
    definition.hidden = true;
    node.replaceWith(link(definition.lastChild.href, [...node.childNodes].slice(1, -1)));
  }
}

/** Remove the punctuation of the surrounding sentence from the end of a URL. */
function trimPunctuation(address) {
  let end = address.length;
  while (".,;:!?'*_~".includes(address[end - 1])) end -= 1;
  if (address[end - 1] === ")" && !address.includes("(")) end -= 1;
  return address.slice(0, end);
}

export function link(url, label) {
  const node = element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label);
  for (const inner of node.querySelectorAll("a")) inner.replaceWith(...inner.childNodes);
  return node;
}

/** Return the text that replaces an image. Loading it would tell another server about the user. */
function imageText(label) {
  const text = buildNodes(label).textContent.trim();
  return text ? `Image: ${text}` : "Image";
}
