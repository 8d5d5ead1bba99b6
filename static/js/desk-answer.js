// The answer to an item at the desk: what a choice or a score makes of it, and what is sent. No access to the page.

/**
 * @typedef {object} Answer
 * @property {string} [decision] confirm, flip, tie, both_bad, edit or flag
 * @property {number} [preferred] id of the better response
 * @property {number} [score] of the one response of a score item
 * @property {Record<string, number>} [scores] of both responses of a pair, by their ids
 * @property {boolean} [byScores] whether `preferred` follows from unequal scores, until a key says otherwise
 *
 * @typedef {{reason: string, text: string, reasons: Record<string, string> | null}} Texts what the fields hold
 */

export const HIGHEST_SCORE = 5;

/**
 * Whether the answer can be saved or shown to others: scores alone do not answer a pair.
 *
 * @param {Answer} answer
 */
export const isAnswered = (answer) =>
  Boolean(answer.decision) || answer.preferred !== undefined || answer.score !== undefined;

/**
 * The score that stands: the item's, or that of one response of a pair.
 *
 * @param {Answer} answer
 * @param {number} [responseId]
 */
export const scoreOf = (answer, responseId) =>
  responseId === undefined ? answer.score : answer.scores?.[String(responseId)];

/**
 * The score with half a point added, or taken away where it has one already. The highest score stays whole.
 *
 * @param {number | undefined} score
 */
export function toggleHalf(score = 0) {
  const whole = Math.floor(score);
  return score % 1 || whole === HIGHEST_SCORE ? whole : whole + 0.5;
}

/**
 * A choice; the scores of both responses stay beside it.
 *
 * @param {Answer} answer
 * @param {Answer} change
 * @returns {Answer}
 */
export const withChoice = (answer, change) => (answer.scores ? { ...change, scores: answer.scores } : change);

/**
 * A score of one response of a pair. Where both have one and they differ, they also say which response is better, until
 * a key says so.
 *
 * @param {Answer} answer
 * @param {[number, number]} responseIds left and right
 * @param {number} side 0 or 1
 * @param {number} value
 * @returns {{answer: Answer, nextSide: number}} and the side whose score the next digit gives
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
 * The answer that a draft holds. A response that is no longer one of the item's is not preferred.
 *
 * @param {Record<string, any>} draft
 * @param {number[]} responseIds
 * @param {boolean} withScores whether responses of a pair are scored in this queue
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
 * What is kept as a draft: the answer with all texts that are not empty.
 *
 * @param {Answer} answer
 * @param {Texts} texts
 */
export function toDraft(answer, { reason, text, reasons }) {
  return { ...answer, ...(reason && { reason }), ...(text && { text }), ...(reasons && { reasons }) };
}

/**
 * What is sent to save the answer. Only an edit sends a text.
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
 * What is sent to see what the answer would change: the server takes the scores of both responses or of neither.
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
 * The line above the desk: how far the queue and the reader are.
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
