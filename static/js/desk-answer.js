// Compute the answer to an item, its draft and the request body. No access to the page.

/**
 * @typedef {object} Answer
 * @property {string} [decision] confirm, flip, tie, both_bad, edit or flag
 * @property {number} [preferred] id of the better response
 * @property {number} [score] score of a score item, 0 to 5
 * @property {Record<string, number>} [scores] scores of a pair by response id, 0 to 5
 * @property {boolean} [byScores] whether `preferred` was set by unequal scores, not by a choice
 *
 * @typedef {{reason: string, text: string, reasons: Record<string, string> | null}} Texts contents of the text fields
 */

export const HIGHEST_SCORE = 5;

/**
 * Whether the answer can be saved or previewed. Scores alone do not answer a pair.
 *
 * @param {Answer} answer
 */
export const isAnswered = (answer) =>
  Boolean(answer.decision) || answer.preferred !== undefined || answer.score !== undefined;

/**
 * The score of the item, or of one response of a pair.
 *
 * @param {Answer} answer
 * @param {number} [responseId]
 */
export const scoreOf = (answer, responseId) =>
  responseId === undefined ? answer.score : answer.scores?.[String(responseId)];

/**
 * Add half a point to a whole score below the highest, or remove it.
 *
 * @param {number | undefined} score
 */
export function toggleHalf(score = 0) {
  const whole = Math.floor(score);
  return score % 1 || whole === HIGHEST_SCORE ? whole : whole + 0.5;
}

/**
 * The answer with a new choice and unchanged scores.
 *
 * @param {Answer} answer
 * @param {Answer} change
 * @returns {Answer}
 */
export const withChoice = (answer, change) => (answer.scores ? { ...change, scores: answer.scores } : change);

/**
 * The answer with a new score of one response of a pair. If both scores are set and differ, the response with the higher
 * one becomes preferred, unless a key has set the preference.
 *
 * @param {Answer} answer
 * @param {[number, number]} responseIds left and right
 * @param {number} side 0 or 1
 * @param {number} value
 * @returns {{answer: Answer, nextSide: number}} the answer, and the side that the next digit scores
 */
export function withScore(answer, responseIds, side, value) {
  /** @type {Record<string, number | undefined>} */
  const given = { ...answer.scores, [responseIds[side]]: value };
  const [left, right] = responseIds.map((id) => given[id]);
  const isUndecided = !answer.decision && (answer.preferred === undefined || answer.byScores);
  const scores = /** @type {Record<string, number>} */ (given);
  const changed = { ...answer, scores };
  if (isUndecided && left !== undefined && right !== undefined) {
    if (left === right) delete changed.preferred;
    else Object.assign(changed, { preferred: responseIds[left > right ? 0 : 1], byScores: true });
  }
  return { answer: changed, nextSide: left === undefined ? 0 : right === undefined ? 1 : 1 - side };
}

/**
 * The answer in a draft. A preferred response that is not of this item is ignored.
 *
 * @param {Record<string, any>} draft
 * @param {number[]} responseIds
 * @param {boolean} withScores whether the queue asks for scores of both responses
 * @returns {Answer}
 */
export function fromDraft(draft, responseIds, withScores) {
  /** @type {Answer} */
  const answer = {};
  if (draft.decision !== undefined) answer.decision = draft.decision;
  if (draft.preferred !== undefined && responseIds.includes(draft.preferred)) answer.preferred = draft.preferred;
  if (draft.score !== undefined) answer.score = draft.score;
  if (withScores && draft.scores) answer.scores = draft.scores;
  return answer;
}

/**
 * The draft of an answer: its fields and all texts that are not empty.
 *
 * @param {Answer} answer
 * @param {Texts} texts
 */
export function toDraft(answer, { reason, text, reasons }) {
  return { ...answer, ...(reason && { reason }), ...(text && { text }), ...(reasons && { reasons }) };
}

/**
 * The request body that saves the answer. Only an edit has a text.
 *
 * @param {Answer} answer
 * @param {Texts} texts
 * @param {boolean} withScores
 */
export function toRequest(answer, { reason, text, reasons }, withScores) {
  return {
    decision: answer.decision ?? "",
    preferred: answer.preferred ?? null,
    score: answer.score ?? null,
    ...(answer.scores && { scores: answer.scores }),
    ...(withScores && { reasons }),
    text: answer.decision === "edit" ? text : "",
    reason,
  };
}

/**
 * The request body for a preview. Scores are sent only if both are set, as the server requires.
 *
 * @param {Answer} answer
 * @param {Texts} texts
 * @param {boolean} withScores
 * @param {number[]} responseIds
 */
export function toPreview(answer, texts, withScores, responseIds) {
  const request = toRequest(answer, texts, withScores);
  if (request.scores && responseIds.some((id) => request.scores?.[id] === undefined)) delete request.scores;
  if (!request.scores) delete request.reasons;
  return request;
}

/**
 * The progress line of the desk.
 *
 * @param {{done: number, total: number, today: number, seconds_today: number, streak: number}} progress
 */
export function progressText(progress) {
  const minutes = Math.round(progress.seconds_today / 60);
  const parts = [`${progress.done} of ${progress.total}`, `${progress.today} today`];
  if (minutes) parts.push(`${minutes} min`);
  if (progress.streak > 1) parts.push(`${progress.streak} in a row`);
  return parts.join(" · ");
}
