// Texts of a running stage: progress, rate and requests. No access to the DOM.

import { count, speed, timeLeft } from "./format.js";

/**
 * The payload of a stage event.
 * @typedef {object} StageEvent
 * @property {number} stage its id
 * @property {string} kind
 * @property {string} status
 * @property {number} done rows
 * @property {number} total rows; 0 if unknown
 * @property {number | null} [rate] rows per second
 * @property {number | null} [seconds_left]
 * @property {{tokens_per_second?: number | null, in_flight?: number | null, health?: object | null}} [progress]
 */

/**
 * Whether a remote teacher works on the stage while an earlier stage is running.
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
 * Number of finished rows and of all rows.
 *
 * @param {StageEvent} stage
 */
export const countText = ({ done, total }) => (total ? `${count(done)} of ${count(total)}` : count(done));

/**
 * Rate and remaining time; for an overlapping stage, "in parallel" and the rate.
 *
 * @param {StageEvent} stage
 */
export function noteText(stage) {
  const pace = speed(stage.rate);
  const parts = isOverlapping(stage) ? [pace && "in parallel", pace] : [pace, timeLeft(stage.seconds_left)];
  return parts.filter(Boolean).join(", ");
}

/**
 * Missing rows, requests in flight and tokens per second.
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
