// The chat: Enter sends, the newest turn stays visible, and sending is locked while an answer is generated.

import { byId, first } from "./dom.js";

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("ask"));

if (form) {
  const turns = byId("turns");
  const problem = byId("chat-problem");
  const box = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("text"));
  const button = /** @type {HTMLButtonElement} */ (first("button[type=submit]", form));

  const isWaiting = () => first("[data-pending]", turns) !== null;
  const lockWhileWaiting = () => {
    button.disabled = isWaiting();
  };
  const grow = () => {
    box.rows = Math.min(12, Math.max(2, box.value.split("\n").length));
  };
  const showNewest = () => turns.lastElementChild?.scrollIntoView({ block: "nearest" });

  box.addEventListener("input", grow);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!isWaiting() && box.value.trim()) form.requestSubmit();
  });

  form.addEventListener("htmx:beforeRequest", (event) => {
    if (isWaiting()) event.preventDefault();
    problem.textContent = "";
  });
  form.addEventListener("htmx:afterRequest", (event) => {
    // An error is shown beside the button, and the message stays in the field.
    if (event.detail.successful && !event.detail.xhr.getResponseHeader("HX-Retarget")) {
      first(".hello", turns)?.remove();
      box.value = "";
      grow();
    }
    box.focus();
  });
  document.addEventListener("htmx:afterSettle", () => {
    lockWhileWaiting();
    showNewest();
  });
  lockWhileWaiting();
  showNewest();
}
