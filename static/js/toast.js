// A short message at the bottom of the page that disappears after a while.

import { byId, make } from "./dom.js";

/**
 * @param {string} text
 * @param {"" | "bad"} [tone] "bad" for errors, which stay longer
 */
export function toast(text, tone = "") {
  const line = make("p", `toast ${tone}`, text);
  byId("toasts").append(line);
  setTimeout(() => line.remove(), tone === "bad" ? 8000 : 2600);
}
