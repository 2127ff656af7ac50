// Renders streaming Markdown: the blocks. inline.js parses the text inside them.
//
// HTML stays text. The time is linear in the length of the text, whatever the LLM writes.

import { copyButton, element } from "./dom.js";
import { link, normalizeLabel, parseInline, resolveReferences, safeUrl } from "./inline.js";
import { isTable, tableNode } from "./table.js";

const MAX_DEPTH = 12; // of nested quotes and lists
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=\s|$)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const INDENTED = /^ {4}/;
const UNDERLINE = /^ {0,3}(?:={2,}|-{3,})\s*$/;
const DEFINITION =
  /^ {0,3}\[([^[\]]{1,200})\]:\s{0,9}<?([^\s<>]{1,2000})>?(?:\s+(?:"[^"]*"|'[^']*'|\([^()]*\)))?\s*$/;
const TASK = /^\[([ xX])\](?=\s)/;
const ITEM = /^( *)([-*+]|(\d{1,9})[.)])(?:([ \t]+)(?=\S)|[ \t]*$)/;

/** Renders Markdown into a node as it arrives. Only the end of the text is rendered again. */
export class MarkdownStream {
  text = "";
  #pending = ""; // the end of the text, whose meaning may change
  #pendingNodes = [];
  #timer = null;
  #renderTime = 0; // milliseconds of the last rendering

  constructor(node) {
    this.node = node;
  }

  /** Add text. It is rendered with the next frame, or later if rendering is slow. */
  write(text) {
    this.text += text;
    this.#pending += text;
    this.#timer ??= setTimeout(() => this.render(), Math.max(16, 4 * this.#renderTime));
  }

  /** Render the pending text now. */
  render() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const start = performance.now();
    const lines = this.#pending.split("\n");
    const blocks = parseBlocks(lines.map(expandTabs), 0);
    for (const node of this.#pendingNodes) node.remove();
    for (const block of blocks) this.node.append(block.node);
    // More text may change the last line, and then the block before it.
    const last = blocks.findLastIndex((block) => block.start < lines.length - 1);
    const complete = Math.max(last, 0);
    this.#pendingNodes = blocks.slice(complete).map((block) => block.node);
    if (complete) this.#pending = lines.slice(blocks[complete].start).join("\n");
    this.#renderTime = performance.now() - start;
  }

  /** Render the rest, and the links whose definitions may follow them. */
  finish() {
    this.render();
    resolveReferences(this.node);
  }
}

/** Parse lines into blocks: {start, node}, the index of the first line and the element. */
function parseBlocks(lines, depth) {
  const nested = depth < MAX_DEPTH ? [parseQuote, parseList, parseTable] : [];
  const leaves = [parseFence, parseHeading, parseRule, parseDefinition];
  const parsers = [...leaves, ...nested, parseIndented, parseParagraph];
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    let block = null;
    for (const parse of parsers) block ??= parse(lines, at, depth);
    blocks.push({ start: at, node: block.node });
    at = block.end;
  }
  return blocks;
}

function parseNodes(lines, depth) {
  return parseBlocks(lines, depth).map((block) => block.node);
}

// Each parser takes all lines and the index of the first one. It returns {node, end}, `end` being
// the index after the last line, or null if the block is of another type.

function parseFence(lines, at) {
  const [match, fence, info] = FENCE.exec(lines[at]) ?? [];
  if (match === undefined) return null;
  let end = at + 1;
  while (end < lines.length && !isClosingFence(lines[end], fence)) end += 1;
  return { node: codeBlock(lines.slice(at + 1, end), info.trim().split(/\s/)[0]), end: end + 1 };
}

function isClosingFence(line, fence) {
  const text = line.trim();
  return text.length >= fence.length && text === fence[0].repeat(text.length);
}

function parseIndented(lines, at) {
  let end = at;
  for (let next = at; next < lines.length; next += 1) {
    if (isBlank(lines[next])) continue;
    if (!INDENTED.test(lines[next])) break;
    end = next + 1;
  }
  if (end === at) return null;
  return { node: codeBlock(lines.slice(at, end).map((line) => line.slice(4)), ""), end };
}

function codeBlock(lines, language) {
  const code = element("code", {}, lines.join("\n"));
  const title = element("span", {}, language);
  const toolbar = element("div", { class: "toolbar" }, title, copyButton(code));
  return element("div", { class: "code-block" }, toolbar, element("pre", { tabindex: "0" }, code));
}

function parseHeading(lines, at) {
  const [prefix, marks] = HEADING.exec(lines[at]) ?? [];
  if (prefix === undefined) return parseUnderlinedHeading(lines, at);
  const text = lines[at].slice(prefix.length).trim().replace(/(^|\s)#+$/, "");
  return { node: headingNode(text, marks.length), end: at + 1 };
}

function parseUnderlinedHeading(lines, at) {
  const [line, underline = ""] = lines.slice(at, at + 2);
  if (!UNDERLINE.test(underline) || matchesAny(line, INDENTED, ITEM, RULE, QUOTE)) return null;
  return { node: headingNode(line, underline.includes("=") ? 1 : 2), end: at + 2 };
}

/** The page uses the first two levels for its own headings. */
function headingNode(text, level) {
  return element(`h${Math.min(level + 2, 6)}`, {}, parseInline(text.trim()));
}

/** Parse the definition of a reference. It is visible only if nothing refers to it. */
function parseDefinition(lines, at) {
  const [, label, address] = DEFINITION.exec(lines[at]) ?? [];
  const url = address && safeUrl(address);
  if (!url) return null;
  const attributes = { "data-definition": normalizeLabel(label), hidden: "" };
  return { node: element("p", attributes, `${label}: `, link(url, address)), end: at + 1 };
}

function parseRule(lines, at) {
  return RULE.test(lines[at]) ? { node: element("hr"), end: at + 1 } : null;
}

function parseQuote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  if (end === at) return null;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return { node: element("blockquote", {}, parseNodes(inner, depth + 1)), end };
}

function parseList(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const node = element(first[3] ? "ol" : "ul");
  if (first[3] && Number(first[3]) !== 1) node.start = Number(first[3]);
  let end = at;
  for (let next = at; next < lines.length; ) {
    const item = ITEM.exec(lines[next]);
    if (!item || delimiter(item) !== delimiter(first) || RULE.test(lines[next])) break;
    const { inner, after } = itemLines(lines, next, item);
    if (inner.slice(1).some(isBlank) || next > end) node.className = "loose";
    inner[0] = inner[0].replace(TASK, (_, mark) => (mark === " " ? "☐" : "☑"));
    node.append(element("li", {}, parseNodes(inner, depth + 1)));
    end = next = after;
    while (next < lines.length && isBlank(lines[next])) next += 1;
  }
  return { node, end };
}

/** Items with different delimiters, such as - and *, belong to different lists. */
function delimiter(item) {
  return item[2].at(-1);
}

/** Return the lines of a list item without indentation, and the index after the last one. */
function itemLines(lines, at, item) {
  const [, { length: outer }, { length: marker }, , gap = " "] = item;
  const width = outer + marker + (gap.length <= 4 ? gap.length : 1);
  const inner = [lines[at].slice(width)];
  const isInside = (line) => indentation(line) >= Math.min(width, outer + 2);
  const isContinuation = (line) => inner.at(-1) !== "" && !startsBlock(line) && !ITEM.test(line);
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    if (isBlank(line)) inner.push("");
    else if (isInside(line)) inner.push(line.slice(Math.min(indentation(line), width)));
    else if (isContinuation(line)) inner.push(line);
    else break;
  }
  while (inner.length > 1 && inner.at(-1) === "") {
    inner.pop();
    end -= 1;
  }
  return { inner, after: end };
}

function parseTable(lines, at) {
  if (!isTable(lines, at)) return null;
  let end = at + 2;
  while (end < lines.length && !endsParagraph(lines[end])) end += 1;
  return { node: tableNode(lines.slice(at, end)), end };
}

function parseParagraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !endsParagraph(lines[end]) && !isTable(lines, end)) end += 1;
  const text = lines.slice(at, end).map((line) => line.trimStart()).join("\n");
  return { node: element("p", {}, parseInline(text.trimEnd())), end };
}

function endsParagraph(line) {
  return isBlank(line) || startsBlock(line);
}

/** Whether a line starts a block that can interrupt a paragraph. */
function startsBlock(line) {
  const item = ITEM.exec(line);
  const startsList = item?.[4] && (item[3] ?? "1") === "1";
  return startsList || matchesAny(line, FENCE, HEADING, RULE, QUOTE);
}

function matchesAny(text, ...patterns) {
  return patterns.some((pattern) => pattern.test(text));
}

function isBlank(line) {
  return line.trim() === "";
}

function indentation(line) {
  return line.length - line.trimStart().length;
}

/** Replace tabs in the indentation of a line with spaces. */
function expandTabs(line) {
  return line.replace(/^\s+/, (indent) => indent.replaceAll("\t", "    "));
}
