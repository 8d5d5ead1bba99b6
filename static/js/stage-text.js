// The texts of a stage at work: how far it is, how fast, and what of it is still on its way. No access to the page.

import { count, speed, timeLeft } from "./format.js";

/**
 * A stage as its event brings it.
 * @typedef {object} StageEvent
 * @property {number} stage its id
 * @property {string} kind
 * @property {string} status
 * @property {number} done rows
 * @property {number} total rows; 0 where that is not known yet
 * @property {number | null} [rate] rows per second
 * @property {number | null} [seconds_left]
 * @property {{tokens_per_second?: number | null, in_flight?: number | null, health?: object | null}} [progress]
 */

/**
 * Whether a stage is worked on before its turn, as a remote teacher does while the student works.
 *
 * @param {StageEvent} stage
 */
export const isOverlapping = (stage) => stage.status === "pending" && stage.total > 0;

/**
 * The share of the rows that are done, in percent.
 *
 * @param {StageEvent} stage
 */
export const donePercent = ({ done, total }) => (total ? Math.min(100, (100 * done) / total) : 0);

/**
 * How many rows are done, of how many.
 *
 * @param {StageEvent} stage
 */
export const countText = ({ done, total }) => (total ? `${count(done)} of ${count(total)}` : count(done));

/**
 * Speed and time left; of a stage before its turn, that it works meanwhile.
 *
 * @param {StageEvent} stage
 */
export function noteText(stage) {
  const pace = speed(stage.rate);
  const parts = isOverlapping(stage) ? [pace && "meanwhile", pace] : [pace, timeLeft(stage.seconds_left)];
  return parts.filter(Boolean).join(", ");
}

/**
 * What a remote teacher still has to answer: rows to go, requests in flight, tokens per second.
 *
 * @param {StageEvent} stage
 */
export function trafficText(stage) {
  if (isOverlapping(stage) && !speed(stage.rate)) return "";
  const { tokens_per_second: tokens, in_flight: inFlight } = stage.progress ?? {};
  if (tokens === undefined || tokens === null || stage.done >= stage.total) return "";
  const parts = [`${count(stage.total - stage.done)}\u00a0to\u00a0go`];
  if (inFlight) parts.push(`${count(inFlight)}\u00a0in\u00a0flight`);
  if (tokens >= 1) parts.push(`${count(Math.round(tokens))}\u00a0tokens/s`);
  return parts.join(", ");
}
