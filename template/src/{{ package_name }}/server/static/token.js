// The server's token, where it asks for one; this tab remembers it until it is closed.

const KEY = "agent-token";

let value = stored();

/** The token, or nothing. */
export function token() {
  return value;
}

/** Ask the reader for the token, and say why; returns whether there is a new one. */
export async function askForToken(why) {
  const dialog = document.getElementById("ask-token");
  const field = document.getElementById("token");
  const form = document.getElementById("token-form");
  if (dialog.open) return false;
  document.getElementById("token-why").textContent = why;
  field.value = "";
  form.onsubmit = (event) => {
    event.preventDefault();
    dialog.close(field.value.trim());
  };
  document.getElementById("no-token").onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue) keep(dialog.returnValue);
  return dialog.returnValue !== "";
}

function keep(given) {
  value = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // A browser that stores nothing asks again when the page is loaded anew.
  }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
