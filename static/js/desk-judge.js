// Show the judge's scores and reasons, and the preview of the answer.

import { byId, make } from "./dom.js";
import { score } from "./format.js";

/**
 * @typedef {object} JudgementView
 * @property {string} source self, teacher, human or reference
 * @property {string} judge
 * @property {number | null} score 0 to 5; null for an unparsed reply
 * @property {(number | null)[]} samples
 * @property {string} rationale
 *
 * @typedef {object} JudgeView
 * @property {number | null} chosen id of the response that the pair prefers
 * @property {"judge" | "people"} chosen_by
 * @property {{judgements: JudgementView[]}[]} responses left and right
 */

const SIDES = ["Left", "Right"];
const CHOSEN_BY = { judge: "the judge's choice", people: "people's current choice" };
const SVG = "http://www.w3.org/2000/svg";

export function hideJudge() {
  byId("judge").hidden = byId("change-text").hidden = true;
  byId("change-none").hidden = false;
  for (const side of [0, 1]) {
    const mark = document.getElementById(`mark-${side}`);
    if (mark) mark.textContent = "";
  }
}

/**
 * @param {string} source sets the colour of the bar
 * @param {number} share 0 to 1
 */
function bar(source, share) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `bar ${source}`);
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(SVG, "rect");
  rect.setAttribute("width", String(Math.max(0, Math.min(100, 100 * share))));
  rect.setAttribute("height", "8");
  svg.append(rect);
  return svg;
}

/**
 * The rows of one judgement: its score as a bar, then its reason, judge and samples.
 *
 * @param {JudgementView} judgement
 * @param {string} label
 */
function judgementRows(judgement, label) {
  const row = make("div", judgement.score === null ? "score unparsed" : "score");
  row.append(make("span", `source-mark ${judgement.source}`, label));
  if (judgement.score === null) row.append(make("span", "", "unparsed"));
  else row.append(bar(judgement.source, judgement.score / 5), make("span", "", score(judgement.score)));
  const samples = judgement.samples.map((value) => (value === null ? "unparsed" : score(value))).join(", ");
  const reason = judgement.rationale ? `“${judgement.rationale}” ` : "";
  const text = `${reason}${judgement.judge}${samples ? ` · samples ${samples}` : ""}`;
  return [row, make("p", "mute small judge-said", text)];
}

/**
 * Show the judge's scores of the item's responses, and the currently chosen one.
 *
 * @param {JudgeView} judge
 * @param {{blind: boolean, items: {id: number}[]}} item
 * @param {string} kind of the queue
 */
export function showJudge(judge, item, kind) {
  const rows = judge.responses.flatMap(({ judgements }, side) =>
    judgements.flatMap((one) => judgementRows(one, kind === "score" ? "score" : SIDES[side].toLowerCase())),
  );
  if (judge.chosen !== null)
    item.items.forEach((response, side) => {
      byId(`mark-${side}`).textContent = response.id === judge.chosen ? CHOSEN_BY[judge.chosen_by] : "";
    });
  byId("judge-title").textContent = item.blind ? "The judge, shown after your answer" : "The judge";
  byId("judge-rows").replaceChildren(...rows);
  byId("judge").hidden = !rows.length;
}

/**
 * Show what the answer would change.
 *
 * @param {{kind: string, sentence: string, note: string}} preview
 */
export function showPreview(preview) {
  byId("change-none").hidden = true;
  const text = byId("change-text");
  text.hidden = false;
  text.dataset.kind = preview.kind;
  byId("change-sentence").textContent = preview.sentence;
  byId("change-note").textContent = preview.note;
}
