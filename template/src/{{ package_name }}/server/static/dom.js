// Building the page's nodes. Text stays text: nothing here reads HTML.

/** An element with attributes and children, which are nodes, texts, or lists of them. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  for (const child of children.flat()) node.append(child);
  return node;
}

/** A button that does something. */
export function button(label, onClick) {
  const node = element("button", { type: "button", class: "quiet" }, label);
  node.addEventListener("click", onClick);
  return node;
}

/** A button that copies the text of a node, or selects the node where the browser forbids that. */
export function copyButton(node, text = () => node.textContent) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text());
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(node);
      copy.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  return copy;
}

/** JSON as people read it; what is no JSON stays as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** A text as it stands, with a heading; long ones scroll. */
export function labelled(label, text = "") {
  const node = element("pre", { tabindex: "0" }, text);
  return element("div", {}, element("div", { class: "bar" }, element("h3", {}, label), copyButton(node)), node);
}

/** What is seen when it is unfolded, and then brought into view. */
export function folded(sort, summary, ...children) {
  const node = element("details", { class: sort }, element("summary", {}, summary), ...children);
  const show = () => node.open && node.scrollIntoView({ block: "nearest" });
  node.addEventListener("toggle", () => requestAnimationFrame(show)); // when it has been filled
  return node;
}
