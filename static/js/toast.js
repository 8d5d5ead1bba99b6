// A short line at the bottom of the page that goes away by itself.

import { byId, make } from "./dom.js";

/**
 * @param {string} text
 * @param {"" | "bad"} [tone] "bad" for what went wrong; it stays longer
 */
export function toast(text, tone = "") {
  const line = make("p", `toast ${tone}`, text);
  byId("toasts").append(line);
  setTimeout(() => line.remove(), tone === "bad" ? 8000 : 2600);
}
