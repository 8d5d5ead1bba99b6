// Formats numbers, times and sizes. No access to the DOM.

/**
 * A whole number with thousands separators.
 *
 * @param {number | string} value
 */
export const count = (value) => Number(value).toLocaleString("en-GB");

/**
 * A number as 1,234, 0.56 or 3.1e−5; "–" for null.
 *
 * @param {number | null | undefined} value
 */
export function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-GB");
  if (size >= 0.01 || size === 0) return value.toFixed(2).replace("-", "−");
  return value.toExponential(1).replace(".0e", "e").replace("-", "−");
}

/**
 * A share as a percentage.
 *
 * @param {number} share 0 to 1
 * @param {number} [digits] after the decimal point
 */
export const percent = (share, digits = 0) =>
  `${digits ? (100 * share).toFixed(digits) : Math.round(100 * share)}\u00a0%`;

/**
 * A score with at most two decimals.
 *
 * @param {number} value
 */
export const score = (value) => String(Math.round(value * 100) / 100);

/**
 * A rate per second, below 0.5 per minute.
 *
 * @param {number | null | undefined} rate rows per second
 */
export function speed(rate) {
  if (!rate || rate <= 0) return "";
  if (rate >= 10) return `${count(Math.round(rate))}/s`;
  if (rate >= 0.5) return `${rate.toFixed(1)}/s`;
  return `${(rate * 60).toFixed(1)}/min`.replace(".0/", "/");
}

/**
 * The remaining time, rounded up.
 *
 * @param {number | null | undefined} seconds
 */
export function timeLeft(seconds) {
  if (seconds === null || seconds === undefined || seconds < 0) return "";
  if (seconds < 8) return "a few seconds left";
  if (seconds < 55) return `${Math.ceil(seconds / 5) * 5}\u00a0s left`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)}\u00a0min left`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1).replace(".0", "")}\u00a0h left`;
  return `${Math.round(seconds / 86400)}\u00a0days left`;
}

/**
 * A time in the past, such as "4 min ago".
 *
 * @param {number} seconds
 */
export function ago(seconds) {
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86400);
  return days === 1 ? "yesterday" : `${days} days ago`;
}

/**
 * A size in decimal units.
 *
 * @param {number} bytes
 */
export function size(bytes) {
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000) return `${unit === "B" || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)}\u00a0${unit}`;
    value /= 1000;
  }
  return `${value >= 99.95 ? value.toFixed(0) : value.toFixed(1)}\u00a0TB`;
}

/**
 * A value in the format of its metric, as the server declares it.
 *
 * @param {number | null | undefined} value a share of 1 for "percent", a number of bytes for "bytes"
 * @param {string} format of the metric
 * @param {number} [digits] of a percentage, after the decimal point
 */
export function formatted(value, format, digits = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return figure(value);
  if (format === "percent") return percent(value, digits);
  if (format === "bytes") return size(value);
  return figure(value);
}
