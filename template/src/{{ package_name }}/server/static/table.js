// Renders tables of Markdown.

import { element } from "./dom.js";
import { parseInline } from "./inline.js";

const LONG_TEXT = 20; // characters; longer texts wrap

/** Whether a line is the head of a table. */
export function isTable(lines, at) {
  if (!lines[at].includes("|") || !/^[\s|:-]+$/.test(lines[at + 1] ?? "")) return false;
  const marks = cells(lines[at + 1]);
  return marks.length === cells(lines[at]).length && marks.every((mark) => /^:?-+:?$/.test(mark));
}

/** Create a table from its lines. It scrolls sideways if it is wider than the page. */
export function tableNode([names, marks, ...lines]) {
  const alignments = cells(marks).map(alignment);
  const row = (line, name) => {
    const texts = cells(line).slice(0, alignments.length);
    return element("tr", {}, texts.map((text, column) => cell(name, text, alignments[column])));
  };
  const head = element("thead", {}, row(names, "th"));
  const body = element("tbody", {}, lines.map((line) => row(line, "td")));
  const size = alignments.length > 4 ? "wide" : "";
  return element("div", { class: `table ${size}`, tabindex: "0" }, element("table", {}, head, body));
}

function cell(name, text, side) {
  const width = text.length > LONG_TEXT ? "long" : "short";
  return element(name, { class: `${side} ${width}` }, parseInline(text));
}

function cells(line) {
  const row = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return row.split(/(?<!\\)\|/).map((text) => text.trim().replaceAll("\\|", "|"));
}

/** Return the CSS class of a column. */
function alignment(mark) {
  if (!mark.endsWith(":")) return "start";
  return mark.startsWith(":") ? "center" : "end";
}
