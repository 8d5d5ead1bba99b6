// Reloads parts of the run page from the server. Repeated requests for a part are merged.

import { byId, first } from "./dom.js";
import { localTimes } from "./times.js";

const RETRY_MS = 1000; // while a part is loading or has an open menu

/**
 * @typedef {object} PartHooks
 * @property {(curves: import("./curve-data.js").Curve[]) => void} onCurves curves with all points
 * @property {(curves: import("./curve-data.js").Curve[]) => void} onNotes curves with notes only
 * @property {(part: string, fresh: HTMLElement) => void} onSwap a part has been replaced
 */

/**
 * Return a function that reloads a part after a pause in milliseconds. Calls during the pause are merged; a shorter
 * pause replaces a longer one.
 *
 * @param {string | undefined} runId
 * @param {PartHooks} hooks
 * @returns {(part: string, pause: number) => void}
 */
export function partRefresher(runId, hooks) {
  /** @type {Map<string, {due: number, timer: ReturnType<typeof setTimeout>}>} */
  const scheduled = new Map();
  const loading = new Set();

  /** @param {string} part @param {number} pause */
  function refresh(part, pause) {
    const due = performance.now() + pause;
    const waiting = scheduled.get(part);
    if (waiting) {
      if (waiting.due <= due) return;
      clearTimeout(waiting.timer);
    }
    scheduled.set(part, { due, timer: setTimeout(() => load(part), pause) });
  }

  /** @param {string} part */
  async function load(part) {
    scheduled.delete(part);
    if (loading.has(part) || hasOpenQuestion(part)) {
      refresh(part, RETRY_MS);
      return;
    }
    loading.add(part);
    try {
      const answer = await fetch(`/runs/${runId}/part/${part}/`, { headers: { "HX-Request": "true" } });
      if (!answer.ok || answer.redirected) return;
      if (part === "curves") hooks.onCurves((await answer.json()).curves);
      else if (part === "notes") hooks.onNotes((await answer.json()).curves);
      else swap(part, await answer.text(), hooks.onSwap);
    } catch {
      // The connection state shows that the server is offline; the next event retries.
    } finally {
      loading.delete(part);
    }
  }

  return refresh;
}

/**
 * Whether a part has an open question or menu, which a reload would close.
 *
 * @param {string} part
 */
function hasOpenQuestion(part) {
  return (part === "head" || part === "costs") && first("details[open]", byId(part)) !== null;
}

/**
 * @param {string} part
 * @param {string} html
 * @param {PartHooks["onSwap"]} onSwap
 */
function swap(part, html, onSwap) {
  const old = byId(part);
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = /** @type {HTMLElement} */ (holder.content.firstElementChild);
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const focusedKey = focused && old.contains(focused) ? focused.dataset.key : undefined;
  // Keep the live region's element, so that screen readers announce only changes.
  if (part === "head") {
    const said = first("#state", old);
    const next = first("#state", fresh);
    if (said && next && said.innerHTML.trim() === next.innerHTML.trim()) next.replaceWith(said);
  }
  old.replaceWith(fresh);
  window.htmx?.process(fresh);
  localTimes(fresh);
  if (focusedKey) first(`[data-key="${focusedKey}"]`, fresh)?.focus();
  onSwap(part, fresh);
}
