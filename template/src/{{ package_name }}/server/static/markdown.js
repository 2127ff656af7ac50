// Markdown as it streams in: the blocks. Words within them are read by inline.js.
//
// Each line is looked at a fixed number of times, whatever an LLM writes, and HTML is text.

import { copyButton, element } from "./dom.js";
import { inline, link, nameOf, resolve, safeUrl } from "./inline.js";

const DEEPEST = 12; // quotes and lists within each other
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=\s|$)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const INDENTED = /^ {4}/;
const UNDERLINE = /^ {0,3}(?:={2,}|-{3,})\s*$/;
const DEFINITION = /^ {0,3}\[([^[\]]{1,200})\]:\s{0,9}<?([^\s<>]{1,2000})>?(?:\s+(?:"[^"]*"|'[^']*'|\([^()]*\)))?\s*$/;
const TASK = /^\[([ xX])\](?=\s)/;
const ITEM = /^( *)([-*+]|(\d{1,9})[.)])(?:([ \t]+)(?=\S)|[ \t]*$)/;

/** Writes Markdown into an element, of which only the end is drawn anew when more comes. */
export class MarkdownStream {
  #parent;
  #unsettled = ""; // what more text may still change
  #nodes = []; // and its nodes
  #timer = null;
  #drawn = 0; // how long it took the last time, in milliseconds

  constructor(parent) {
    this.#parent = parent;
  }

  /** Add text; it is drawn with the next frame, or later where drawing takes long. */
  write(text) {
    this.#unsettled += text;
    this.#timer ??= setTimeout(() => this.draw(), Math.max(16, 4 * this.#drawn));
  }

  /** Draw what has not been drawn yet. */
  draw() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const begun = performance.now();
    const lines = this.#unsettled.split("\n");
    const blocks = parse(lines.map(withoutTabs), 0);
    for (const node of this.#nodes) node.remove();
    for (const block of blocks) this.#parent.append(block.node);
    // The last line may still grow and become something else, and so may the block before it.
    const last = blocks.findLastIndex((block) => block.start < lines.length - 1);
    const settled = Math.max(last, 0);
    this.#nodes = blocks.slice(settled).map((block) => block.node);
    if (settled) this.#unsettled = lines.slice(blocks[settled].start).join("\n");
    this.#drawn = performance.now() - begun;
  }

  /** Draw the rest: now it is known where links lead whose addresses stand further below. */
  end() {
    this.draw();
    resolve(this.#parent);
  }
}

/** The blocks of some lines, each with its node and the line that it starts at. */
function parse(lines, depth) {
  const nested = depth < DEEPEST ? [quote, list, table] : [];
  const readers = [fence, heading, rule, definition, ...nested, indented];
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    let block = null;
    for (const read of readers) block ??= read(lines, at, depth);
    block ??= paragraph(lines, at);
    blocks.push({ start: at, node: block.node });
    at = block.end;
  }
  return blocks;
}

function nodes(lines, depth) {
  return parse(lines, depth).map((block) => block.node);
}

// Each reader is given all lines and where to start. It returns the node and the line after it, or null.

function fence(lines, at) {
  const opened = FENCE.exec(lines[at]);
  if (!opened) return null;
  const [, mark, info] = opened;
  let end = at + 1;
  while (end < lines.length && !closes(lines[end], mark)) end += 1;
  return { node: code(lines.slice(at + 1, end), info.trim().split(/\s/)[0]), end: end + 1 };
}

function closes(line, mark) {
  const closing = line.trim();
  return closing.length >= mark.length && closing === mark[0].repeat(closing.length);
}

function indented(lines, at) {
  let end = at;
  for (let next = at; next < lines.length && (INDENTED.test(lines[next]) || isBlank(lines[next])); next += 1) {
    if (!isBlank(lines[next])) end = next + 1;
  }
  if (end === at) return null;
  return { node: code(lines.slice(at, end).map((line) => line.slice(4)), ""), end };
}

function code(lines, language) {
  const text = element("code", {}, lines.join("\n"));
  const bar = element("div", { class: "bar" }, element("span", {}, language), copyButton(text));
  return element("div", { class: "code" }, bar, element("pre", { tabindex: "0" }, text));
}

function heading(lines, at) {
  const found = HEADING.exec(lines[at]);
  if (!found) return underlined(lines, at);
  const text = lines[at].slice(found[0].length).trim().replace(/(^|\s)#+$/, "");
  return { node: title(text, found[1].length), end: at + 1 };
}

/** A line with a line of = or - below it. */
function underlined(lines, at) {
  const [line, below = ""] = lines.slice(at, at + 2);
  if (!UNDERLINE.test(below) || [INDENTED, ITEM, RULE, QUOTE].some((pattern) => pattern.test(line))) return null;
  return { node: title(line, below.includes("=") ? 1 : 2), end: at + 2 };
}

function title(text, level) {
  return element(`h${Math.min(level + 2, 6)}`, {}, inline(text.trim())); // the page has two levels of its own
}

/** Where links of some name lead. It is seen only if there are none. */
function definition(lines, at) {
  const [, name, address] = DEFINITION.exec(lines[at]) ?? [];
  const url = address && safeUrl(address);
  if (!url) return null;
  const node = element("p", { "data-defines": nameOf(name), hidden: "" }, `${name}: `, link(url, address));
  return { node, end: at + 1 };
}

function rule(lines, at) {
  return RULE.test(lines[at]) ? { node: element("hr"), end: at + 1 } : null;
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  if (end === at) return null;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return { node: element("blockquote", {}, nodes(inner, depth + 1)), end };
}

function list(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const node = element(first[3] ? "ol" : "ul");
  if (first[3] && Number(first[3]) !== 1) node.start = Number(first[3]);
  let end = at;
  for (let next = at; next < lines.length; ) {
    const item = ITEM.exec(lines[next]);
    if (!item || kind(item) !== kind(first) || RULE.test(lines[next])) break;
    const { inner, after } = itemLines(lines, next, item);
    if (inner.slice(1).some(isBlank) || next > end) node.className = "loose";
    inner[0] = inner[0].replace(TASK, (_, mark) => (mark === " " ? "☐" : "☑"));
    node.append(element("li", {}, nodes(inner, depth + 1)));
    end = next = after;
    while (next < lines.length && isBlank(lines[next])) next += 1;
  }
  return { node, end };
}

function kind(item) {
  return item[2].at(-1);
}

/** The lines of a list's item without their indentation, and the line after them. */
function itemLines(lines, at, item) {
  const [, { length: outer }, { length: marker }, , gap = " "] = item;
  const width = outer + marker + (gap.length <= 4 ? gap.length : 1);
  const inner = [lines[at].slice(width)];
  const belongs = (line) => indentation(line) >= Math.min(width, outer + 2);
  const goesOn = (line) => inner.at(-1) !== "" && !startsBlock(line) && !ITEM.test(line);
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    if (isBlank(line)) inner.push("");
    else if (belongs(line)) inner.push(line.slice(Math.min(indentation(line), width)));
    else if (goesOn(line)) inner.push(line);
    else break;
  }
  while (inner.length > 1 && inner.at(-1) === "") {
    inner.pop();
    end -= 1;
  }
  return { inner, after: end };
}

function table(lines, at) {
  if (!isTable(lines, at)) return null;
  const sides = cells(lines[at + 1]).map(side);
  const cell = (name, text, column) => element(name, { class: sides[column] }, inline(text));
  const row = (line, name) =>
    element("tr", {}, cells(line).slice(0, sides.length).map((text, column) => cell(name, text, column)));
  let end = at + 2;
  while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines[end])) end += 1;
  const head = element("thead", {}, row(lines[at], "th"));
  const body = element("tbody", {}, lines.slice(at + 2, end).map((line) => row(line, "td")));
  const node = element("div", { class: "table", tabindex: "0" }, element("table", {}, head, body));
  return { node, end };
}

function isTable(lines, at) {
  if (!lines[at].includes("|") || !/^[\s|:-]+$/.test(lines[at + 1] ?? "")) return false;
  const marks = cells(lines[at + 1]);
  return marks.length === cells(lines[at]).length && marks.every((mark) => /^:?-+:?$/.test(mark));
}

function cells(line) {
  const row = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return row.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function side(mark) {
  if (!mark.endsWith(":")) return "start";
  return mark.startsWith(":") ? "middle" : "end";
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines[end]) && !isTable(lines, end)) end += 1;
  const text = lines.slice(at, end).map((line) => line.trimStart()).join("\n");
  return { node: element("p", {}, inline(text.trimEnd())), end };
}

/** Whether a line ends the paragraph before it. */
function startsBlock(line) {
  const item = ITEM.exec(line);
  const startsList = item?.[4] && (item[3] ?? "1") === "1";
  return startsList || [FENCE, HEADING, RULE, QUOTE].some((pattern) => pattern.test(line));
}

function isBlank(line) {
  return line.trim() === "";
}

function indentation(line) {
  return line.length - line.trimStart().length;
}

function withoutTabs(line) {
  return line.includes("\t") ? line.replace(/^\s+/, (indent) => indent.replaceAll("\t", "    ")) : line;
}
