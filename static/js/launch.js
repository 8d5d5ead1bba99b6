// The launch form: after each server check, show the messages and the fields that apply.

import { all, byId, first, make, readJson, targetOf } from "./dom.js";
import { linesOfNote } from "./field-notes.js";
import { sendOnce } from "./once.js";

/** @typedef {import("./field-notes.js").FieldNote} FieldNote */

const form = /** @type {HTMLFormElement} */ (byId("launch"));
/** Names of changed fields. Only their messages open a collapsed section. */
const touched = new Set();

for (const kind of ["input", "change"])
  form.addEventListener(kind, (event) => touched.add(/** @type {HTMLInputElement} */ (event.target).name));

// The server renders the messages of the first check; later checks come from htmx.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "side") return;
  if (document.getElementById("field-notes")) showNotes(readJson("field-notes"));
});

/** @param {Record<string, FieldNote>} notes by the path of the field */
function showNotes(notes) {
  for (const [path, note] of Object.entries(notes)) showNote(path, note);
  for (const section of all(".launch-section", form)) {
    section.hidden = !first("[data-field]:not([hidden])", section);
    for (const more of all("details.more", section)) {
      const shown = all("[data-field]:not([hidden])", more).length;
      more.hidden = !shown;
      const summary = first("summary .mute", more);
      if (summary) summary.textContent = `(${shown})`;
    }
  }
}

/**
 * @param {string} path
 * @param {FieldNote} note
 */
function showNote(path, note) {
  const holder = first(`[data-field="${path}"]`, form);
  if (!holder) return;
  holder.hidden = !note.shown;
  holder.classList.toggle("has-wrong", note.problems.length > 0);
  const control = byId(note.id);
  if (note.problems.length) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
  const box = byId(`${note.id}-messages`);
  const lines = linesOfNote(note);
  if (box.textContent?.trim() === lines.map(({ text }) => text).join("")) return;
  box.replaceChildren(...lines.map(({ tone, text }) => make("span", tone, text)));
  if (lines.length && touched.has(path)) holder.closest("details")?.setAttribute("open", "");
}

/**
 * Scroll to a field and focus it, opening its collapsed section.
 *
 * @param {string | undefined} path
 */
function goTo(path) {
  const holder = first(`[data-field="${path}"]`, form);
  if (!holder) return;
  holder.hidden = false;
  const section = holder.closest("section");
  if (section) section.hidden = false;
  holder.closest("details")?.setAttribute("open", "");
  holder.scrollIntoView({ block: "center" });
  first("input, select, textarea", holder)?.focus({ preventScroll: true });
}

/**
 * Save a text as a file.
 *
 * @param {string} text
 * @param {string} name
 */
function download(text, name) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

document.addEventListener("click", (event) => {
  const link = /** @type {HTMLElement | null} */ (targetOf(event).closest("[data-go]"));
  if (link) {
    event.preventDefault();
    goTo(link.dataset.go);
  }
  const button = /** @type {HTMLElement | null} */ (targetOf(event).closest("[data-download]"));
  if (button) download(first(button.dataset.from ?? "")?.textContent ?? "", button.dataset.download ?? "");
});

sendOnce(form, (isSent) => {
  const button = first(".launch-button", form);
  if (isSent) button?.setAttribute("aria-disabled", "true");
  else button?.removeAttribute("aria-disabled");
});

if ("sent" in form.dataset) goTo(first(".has-wrong", form)?.dataset.field);
