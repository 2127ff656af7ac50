// Helpers that build DOM nodes. Text is always inserted as text, never parsed as HTML.

/** Create an element with attributes and children: nodes, strings, or arrays of them. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  for (const child of children.flat()) node.append(child);
  return node;
}

export function button(label, onClick, className = "") {
  const attributes = { type: "button", class: `secondary ${className}` };
  const node = element("button", attributes, label);
  node.addEventListener("click", onClick);
  return node;
}

/** Create a button that copies text, or selects the node if the browser forbids copying. */
export function copyButton(node, getText = () => node.textContent) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(getText());
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(node);
      copy.textContent = "Press Ctrl+C to copy";
    }
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  return copy;
}

/** Indent JSON. Other text is returned unchanged. */
export function formatJson(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Create preformatted text, the last child of the result, below a label and a copy button. */
export function labeledText(label, text = "") {
  const content = element("pre", { tabindex: "0" }, text);
  const children = [element("h3", {}, label), copyButton(content)];
  return element("div", {}, element("div", { class: "toolbar" }, ...children), content);
}

/** Create a collapsed section that scrolls into view when it is expanded. */
export function collapsible(className, title, ...children) {
  const summary = element("summary", {}, title);
  const node = element("details", { class: className }, summary, ...children);
  const scroll = () => node.open && node.scrollIntoView({ block: "nearest" });
  // Other toggle listeners may add content first.
  node.addEventListener("toggle", () => requestAnimationFrame(scroll));
  return node;
}
