// The server's bearer token, stored for this tab until it is closed.

const KEY = "agent-token";
const ids = ["token-dialog", "token-message", "token"];
const [dialog, message, field] = ids.map((id) => document.getElementById(id));

let value = load();

/** Return the token, or an empty string. */
export function token() {
  return value;
}

/** Ask the user for the token. Returns whether they entered one. */
export async function requestToken() {
  if (dialog.open) return false;
  if (value) message.textContent = "The server rejected the token.";
  field.value = dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const isEntered = dialog.returnValue === "continue";
  if (isEntered) save(field.value.trim());
  return isEntered;
}

function save(newValue) {
  value = newValue;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // The page asks for the token again after a reload.
  }
}

function load() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
