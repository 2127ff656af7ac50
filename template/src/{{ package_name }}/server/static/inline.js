// Markdown within a block: emphasis, code, links. HTML is text, and images are links.
//
// Emphasis follows CommonMark: runs of * and _ are noted first and paired afterwards. Links that name
// their address, such as [text][name], wait as text until `resolve` finds it.

import { element } from "./dom.js";

const DEEPEST = 20; // elements within each other
const LINKED = new Set(["http:", "https:", "mailto:"]);
const PLAIN = /[^\\`*_~[\]!<&h\n]+/y;
const RUN = /\*+|_+|~+/y;
const TICKS = /`+/y;
const ADDRESS = /https?:\/\/[^\s<>"`\\[\]]+/y;
const IN_ANGLES = /<((?:https?:\/\/|mailto:)[^\s<>]+)>/y;
const BREAK = /<br ?\/?>/iy;
const NAME = /\[([^[\]]{0,200})\]/y;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]{2,8}));/y;
const ENTITIES = new Map(
  Object.entries({
    amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™",
    hellip: "…", ndash: "–", mdash: "—", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»",
    bull: "•", middot: "·", deg: "°", times: "×", divide: "÷", plusmn: "±", minus: "−", le: "≤", ge: "≥", ne: "≠",
    larr: "←", rarr: "→", uarr: "↑", darr: "↓", euro: "€", pound: "£", cent: "¢", sect: "§", para: "¶", micro: "µ",
  }),
);
// Its parts are bounded, so that what is no link is given up soon.
const TARGET =
  /\(\s{0,9}(?:<([^<>\n]{0,2000})>|((?:[^\s()<>]|\([^\s()<>]{0,500}\)){0,2000}))(?:\s{1,9}(?:"[^"]{0,500}"|'[^']{0,500}'))?\s{0,9}\)/y;

/** The nodes of a text. */
export function inline(text) {
  return new Reader(text).read();
}

class Reader {
  #text;
  #at = 0;
  #tokens = [];
  #brackets = []; // where each open bracket stands in the tokens, and where what follows it does in the text
  #ticks = null;

  constructor(text) {
    this.#text = text;
  }

  read() {
    while (this.#at < this.#text.length) {
      const plain = this.#match(PLAIN);
      if (plain) this.#say(plain[0]);
      else this.#readMark(this.#text[this.#at]);
    }
    return build(this.#tokens);
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }

  #say(text) {
    if (typeof this.#tokens.at(-1) === "string") this.#tokens.push(this.#tokens.pop() + text);
    else this.#tokens.push(text);
  }

  #readMark(mark) {
    if (mark === "`") this.#readCode();
    else if (mark === "\n") this.#readBreak();
    else if (mark === "\\") this.#readEscape();
    else if (mark === "[") this.#open("[");
    else if (mark === "]") this.#close();
    else if (mark === "<") this.#readAngle();
    else if (mark === "&") this.#readEntity();
    else if (mark === "!" && this.#text[this.#at + 1] === "[") this.#open("![");
    else if (mark === "h" && this.#readAddress()) return;
    else if ("*_~".includes(mark)) this.#readRun();
    else this.#skip(1);
  }

  /** Take characters as they are. */
  #skip(count) {
    this.#say(this.#text.slice(this.#at, this.#at + count));
    this.#at += count;
  }

  #readCode() {
    const [opening] = this.#match(TICKS);
    const end = this.#nextTicks(opening.length);
    if (end === undefined) {
      this.#say(opening);
      return;
    }
    const code = this.#text.slice(this.#at, end).replaceAll("\n", " ");
    const padded = code.startsWith(" ") && code.endsWith(" ") && code.trim();
    this.#tokens.push(element("code", {}, padded ? code.slice(1, -1) : code));
    this.#at = end + opening.length;
  }

  /** Where the next run of so many backticks begins; each is looked at once. */
  #nextTicks(count) {
    this.#ticks ??= ticksFromTheEnd(this.#text);
    const places = this.#ticks.get(count) ?? [];
    while (places.at(-1) < this.#at) places.pop();
    return places.at(-1);
  }

  #readBreak() {
    const before = this.#tokens.at(-1);
    if (typeof before === "string") this.#tokens.splice(-1, 1, before.trimEnd());
    if (typeof before === "string" && before.endsWith("  ")) this.#tokens.push(element("br"));
    this.#tokens.push("\n");
    this.#at += 1;
  }

  #readEscape() {
    const next = this.#text[this.#at + 1];
    if (next === "\n") this.#tokens.push(element("br"));
    else this.#say(next && /[!-/:-@[-`{-~]/.test(next) ? next : `\\${next ?? ""}`);
    this.#at += 2;
  }

  #open(mark) {
    this.#at += mark.length;
    this.#brackets.push({ token: this.#tokens.push(mark) - 1, start: this.#at });
    this.#tokens.push(""); // so that what follows is not joined to the mark
  }

  #close() {
    this.#at += 1;
    const opened = this.#brackets.pop();
    const target = opened === undefined ? null : this.#match(TARGET);
    const url = target && safeUrl(decoded(target[1] ?? target[2]));
    if (!url) {
      if (!target && opened) this.#refer(opened);
      else this.#say(`]${target?.[0] ?? ""}`);
      return;
    }
    const [mark, ...label] = this.#tokens.splice(opened.token);
    if (mark === "[") this.#brackets.length = 0; // there are no links within links
    this.#tokens.push(link(url, mark === "[" ? build(label) : picture(label)));
  }

  /** What may be a link to an address that stands elsewhere: [name], [name][] or [text][name]. */
  #refer({ token, start }) {
    const label = this.#text.slice(start, this.#at - 1);
    const isName = label.length <= 200 && label.trim() && !/[[\]]/.test(label);
    if (this.#tokens[token] !== "[" || !isName) {
      this.#say("]");
      return;
    }
    const [named, name] = this.#match(NAME) ?? [""];
    const [mark, ...words] = this.#tokens.splice(token);
    this.#tokens.push(element("span", { "data-name": nameOf(name || label) }, mark, build(words), `]${named}`));
  }

  #readEntity() {
    const [entity] = this.#match(ENTITY) ?? [];
    if (entity) this.#say(decoded(entity));
    else this.#skip(1);
  }

  #readAngle() {
    if (this.#match(BREAK)) {
      this.#tokens.push(element("br"));
      return;
    }
    const [whole, address] = this.#match(IN_ANGLES) ?? [];
    const url = address && safeUrl(address);
    if (url) this.#tokens.push(link(url, address));
    else if (whole) this.#say(whole);
    else this.#skip(1);
  }

  #readAddress() {
    if (/\w/.test(this.#text[this.#at - 1] ?? "")) return false;
    const start = this.#at;
    const found = this.#match(ADDRESS)?.[0];
    if (!found) return false;
    const address = withoutPunctuation(found);
    const url = safeUrl(address);
    if (url) this.#tokens.push(link(url, address));
    else this.#say(address);
    this.#at = start + address.length;
    return true;
  }

  #readRun() {
    const before = this.#text[this.#at - 1];
    const [run] = this.#match(RUN);
    this.#tokens.push(new Run(run, before, this.#text[this.#at]));
  }
}

/** Where runs of backticks begin, the last one first, for each length of a run. */
function ticksFromTheEnd(text) {
  const runs = [...text.matchAll(/`+/g)].reverse();
  const places = new Map(runs.map((run) => [run[0].length, []]));
  for (const run of runs) places.get(run[0].length).push(run.index);
  return places;
}

/** A run of *, _ or ~, which may open and close emphasis. */
class Run {
  constructor(text, before = " ", after = " ") {
    this.mark = text[0];
    this.count = this.left = text.length;
    const isPunctuation = (mark) => /[\p{P}\p{S}]/u.test(mark);
    const isSpace = (mark) => /\s/.test(mark);
    const opens = !isSpace(after) && (!isPunctuation(after) || isSpace(before) || isPunctuation(before));
    const closes = !isSpace(before) && (!isPunctuation(before) || isSpace(after) || isPunctuation(after));
    const inWord = this.mark === "_" && opens && closes;
    this.canOpen = opens && (!inWord || isPunctuation(before)) && this.#isStroke();
    this.canClose = closes && (!inWord || isPunctuation(after)) && this.#isStroke();
    this.opened = []; // names of the elements that begin here, the innermost first
    this.closed = 0; // how many end here
  }

  #isStroke() {
    return this.mark !== "~" || this.count === 2;
  }

  closesWith(opener) {
    if (opener.mark !== this.mark) return false;
    const inside = opener.canClose || this.canOpen;
    const sum = opener.count + this.count;
    return !inside || sum % 3 !== 0 || (opener.count % 3 === 0 && this.count % 3 === 0);
  }
}

/** Pair the runs of emphasis. Where no opener was found once, none is looked for again. */
function pair(runs) {
  const openers = [];
  const searched = new Map();
  for (const [place, run] of runs.entries()) {
    run.place = place;
    const sort = `${run.mark}${run.canOpen}${run.count % 3}`;
    while (run.canClose && run.left) {
      const bottom = searched.get(sort) ?? -1;
      let at = openers.length - 1;
      while (at >= 0 && openers[at].place > bottom && !run.closesWith(openers[at])) at -= 1;
      const opener = openers[at];
      if (!opener || opener.place <= bottom) {
        searched.set(sort, place - 1);
        break;
      }
      join(opener, run);
      openers.length = opener.left ? at + 1 : at;
    }
    if (run.canOpen && run.left) openers.push(run);
  }
}

function join(opener, closer) {
  const width = Math.min(opener.left, closer.left, 2);
  opener.opened.push(opener.mark === "~" ? "del" : width === 2 ? "strong" : "em");
  opener.left -= width;
  closer.left -= width;
  closer.closed += 1;
}

/** Turn tokens, which are texts, nodes and runs, into nodes. */
function build(tokens) {
  pair(tokens.filter((token) => token instanceof Run));
  const whole = document.createDocumentFragment();
  const open = [whole];
  for (const token of tokens) {
    if (!(token instanceof Run)) {
      open.at(-1).append(token);
      continue;
    }
    open.length -= token.closed;
    open.at(-1).append(token.mark.repeat(token.left));
    for (const name of token.opened.reverse()) {
      const isDeep = open.length > DEEPEST;
      const node = isDeep ? open.at(-1) : element(name);
      if (!isDeep) open.at(-1).append(node);
      open.push(node);
    }
  }
  return whole;
}

/** The address as the browser understands it, if following it does nothing but that. */
export function safeUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  return LINKED.has(url?.protocol) ? url.href : null;
}

/** A text with the characters that its entities, such as &amp;, stand for. */
function decoded(text) {
  return text.replace(new RegExp(ENTITY, "g"), (whole, decimal, hexadecimal, name) => {
    if (name) return ENTITIES.get(name) ?? whole;
    return character(decimal ? Number(decimal) : parseInt(hexadecimal, 16));
  });
}

/** The character of a number, or the sign that there is none. */
function character(number) {
  const isCharacter = number > 0 && number <= 0x10ffff && !(number >= 0xd800 && number <= 0xdfff);
  return String.fromCodePoint(isCharacter ? number : 0xfffd);
}

/** The name of an address, however it is written. */
export function nameOf(text) {
  return text.trim().replace(/\s+/g, " ").toLowerCase();
}

/** Make links of what names an address that is defined anywhere in an element; the rest stays text. */
export function resolve(parent) {
  const definitions = new Map();
  for (const node of parent.querySelectorAll("[data-defines]")) {
    if (!definitions.has(node.dataset.defines)) definitions.set(node.dataset.defines, node);
    node.hidden = false;
  }
  for (const node of parent.querySelectorAll("[data-name]")) {
    const definition = definitions.get(node.dataset.name);
    if (!definition || node.closest("a")) continue;
    definition.hidden = true;
    node.replaceWith(link(definition.lastChild.href, [...node.childNodes].slice(1, -1)));
  }
}

/** An address without the end of the sentence or the bracket that it stands in. */
function withoutPunctuation(address) {
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

/** What stands for a picture: loading it would tell its server that this answer is read. */
function picture(label) {
  const text = build(label).textContent.trim();
  return text ? `Picture: ${text}` : "Picture";
}
