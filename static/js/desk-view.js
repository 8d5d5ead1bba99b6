// Draw the desk: the item with its responses, the pressed buttons of the answer, progress, and errors.

import { progressText, scoreOf } from "./desk-answer.js";
import { hideJudge } from "./desk-judge.js";
import { all, byId, first, make } from "./dom.js";

/**
 * @typedef {{id: number, html: string, text: string}} DeskResponse
 *
 * @typedef {object} Item
 * @property {number} id
 * @property {boolean} blind whether the judge is shown only after the answer
 * @property {{html: string, text: string, earlier: {role: string, html: string}[],
 *   earlier_is_long: boolean}} prompt
 * @property {DeskResponse[]} items its responses, left and right
 * @property {Record<string, any> | null} draft
 * @property {string | null} draft_saved_at
 * @property {import("./desk-judge.js").JudgeView | null} judge
 *
 * @typedef {import("./desk-answer.js").Answer} Answer
 * @typedef {Parameters<typeof progressText>[0]} Progress
 */

const ALL_ANSWERED = "Every item of this queue is answered.";
const NONE_FREE =
  "The remaining items are leased to other people or wait for their answers. Items return when a lease expires.";
let allAnswered = false;
let waitsForOthers = false; // the page says that the items left are with others

/**
 * Set HTML that the server has sanitized. No other function sets HTML.
 *
 * @param {HTMLElement} element
 * @param {string} html
 */
function fill(element, html) {
  element.innerHTML = html;
  element.scrollTop = 0;
}

/** @param {Item} item */
export function drawItem(item) {
  byId("done").hidden = true;
  byId("item").hidden = byId("bar").hidden = false;
  // Leave the field of the last answer: the next key applies to the new item. Scroll to its prompt.
  byId("prompt-title").focus({ preventScroll: true });
  scrollTo(0, 0);
  fill(byId("prompt"), item.prompt.html);
  const earlier = /** @type {HTMLDetailsElement} */ (byId("earlier"));
  earlier.hidden = !item.prompt.earlier.length;
  earlier.open = !item.prompt.earlier_is_long;
  byId("earlier-count").textContent =
    item.prompt.earlier.length === 1 ? "1 earlier turn" : `${item.prompt.earlier.length} earlier turns`;
  byId("earlier-turns").replaceChildren(
    ...item.prompt.earlier.map((turn) => {
      const block = make("div", "turn");
      const text = make("div", "rendered");
      fill(text, turn.html);
      block.append(make("b", "", turn.role), text);
      return block;
    }),
  );
  drawResponses(item);
  hideJudge();
}

/**
 * Draw the responses without marked differences.
 *
 * @param {Item} item
 */
export function drawResponses(item) {
  document.getElementById("differences")?.setAttribute("aria-pressed", "false");
  item.items.forEach((response, side) => {
    fill(byId(`response-${side}`), response.html);
  });
}

/**
 * Draw the responses with their differences marked.
 *
 * @param {[string, boolean][][]} segments text and whether it differs, for each response
 */
export function drawDifferences(segments) {
  segments.forEach((runs, side) => {
    const text = make("div", "text");
    for (const [run, differs] of runs) text.append(differs ? make("mark", "", run) : run);
    byId(`response-${side}`).replaceChildren(text);
  });
  byId("differences").setAttribute("aria-pressed", "true");
}

/** @param {boolean} pressed */
const ariaPressed = (pressed) => String(pressed);

/**
 * Draw the pressed buttons and the preferred response of an answer.
 *
 * @param {Item} item
 * @param {Answer} answer
 * @param {{next: number, last: number}} sides the sides that the next digit scores and that the last digit scored
 */
export function drawAnswer(item, answer, sides) {
  const idOf = (/** @type {string | undefined} */ side) =>
    side === undefined ? undefined : item.items[Number(side)].id;
  item.items.forEach((response, side) => {
    const isChosen = answer.preferred === response.id;
    byId(`pane-${side}`).classList.toggle("is-picked", isChosen);
    document.getElementById(`choose-${side}`)?.setAttribute("aria-pressed", ariaPressed(isChosen));
  });
  for (const button of all("[data-decision]"))
    button.setAttribute("aria-pressed", ariaPressed(answer.decision === button.dataset.decision));
  document.getElementById("flip")?.setAttribute("aria-pressed", ariaPressed(answer.decision === "flip"));
  for (const button of all("[data-score]")) {
    const score = scoreOf(answer, idOf(button.dataset.side));
    button.setAttribute("aria-pressed", ariaPressed(Math.floor(score ?? -1) === Number(button.dataset.score)));
  }
  for (const button of all("[data-half]")) {
    const score = scoreOf(answer, idOf(button.dataset.side)) ?? 0;
    button.setAttribute("aria-pressed", ariaPressed(score % 1 !== 0));
  }
  // Digits score one side after the other; half a point applies to the last scored side. The key hints follow.
  for (const row of all("[data-scores-of]")) {
    const side = Number(row.dataset.scoresOf);
    row.classList.toggle("is-next", side === sides.next);
    for (const button of all("button", row)) {
      const hasKey = side === (button.dataset.half === undefined ? sides.next : sides.last);
      if (hasKey) button.dataset.key = button.dataset.score ?? ".";
      else delete button.dataset.key;
    }
  }
  byId("edit-field").hidden = answer.decision !== "edit";
}

/**
 * @param {Progress} progress
 */
export function showProgress(progress) {
  allAnswered = progress.done === progress.total;
  if (allAnswered && waitsForOthers && !byId("done").hidden) drawDone();
  byId("progress").textContent = progressText(progress);
}

/**
 * Draw the desk without an item.
 *
 * @param {string} [title]
 * @param {string} [text]
 */
export function drawDone(title = "No items left for you", text) {
  waitsForOthers = text === undefined && !allAnswered;
  byId("item").hidden = byId("bar").hidden = true;
  byId("done").hidden = false;
  byId("done-title").textContent = title;
  byId("done-text").textContent = text ?? (allAnswered ? ALL_ANSWERED : NONE_FREE);
  const desk = byId("desk");
  desk.dataset.state = "done";
  delete desk.dataset.task;
}

/**
 * Change the number of waiting items in the navigation: -1 per answer, +1 per undo.
 *
 * @param {1 | -1} change
 */
export function changeWaiting(change) {
  const badge = first(".top .badge");
  if (!badge) return;
  const left = Math.max(0, Number(badge.textContent?.replace(/\D/g, "")) + change);
  badge.textContent = left.toLocaleString("en-GB");
  badge.hidden = !left;
}

/**
 * Show an error message; an empty text hides it.
 *
 * @param {string} text
 */
export function showTrouble(text) {
  const line = byId("trouble");
  line.hidden = !text;
  line.textContent = text;
}

/**
 * Scroll all responses that are longer than their panes.
 *
 * @param {number} pages to scroll; a fraction scrolls lines
 * @returns {boolean} whether any response can scroll
 */
export function scrollResponses(pages) {
  const long = all(".pane .rendered").filter((pane) => pane.scrollHeight > pane.clientHeight + 1);
  for (const pane of long) pane.scrollBy(0, Math.abs(pages) < 1 ? 480 * pages : pages * 0.85 * pane.clientHeight);
  return long.length > 0;
}
