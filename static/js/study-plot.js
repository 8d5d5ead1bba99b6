// Axis and points of a study plot. No access to the DOM.

/**
 * @typedef {{x: number, word: string, y: Record<string, number | null | undefined>}} StudyPoint
 *
 * @typedef {object} Plot
 * @property {{key: string, label: string, format: string, low: string, high: string}[]} measures
 * @property {{label: string, points: StudyPoint[]}[]} series one line per value of the second field
 * @property {boolean} numeric whether the values of the first field are numbers
 * @property {string[]} words formatted values of the first field
 * @property {string} x name of the first field
 * @property {string} [series_of] name of the second field
 * @property {number} seeds number of seeds that a point is averaged over
 *
 * @typedef {"category" | "linear" | "logarithmic"} Axis
 */

/** Ratio of the largest to the smallest value above which the axis is logarithmic. */
const LINEAR_UP_TO = 30;

/**
 * The type of the x axis: categories for text, logarithmic for a wide range of positive numbers, else linear.
 *
 * @param {Plot} plot
 * @returns {Axis}
 */
export function axisOf(plot) {
  if (!plot.numeric) return "category";
  const numbers = plot.series.flatMap(({ points }) => points.map(({ x }) => x));
  const least = Math.min(...numbers);
  return least > 0 && Math.max(...numbers) / least > LINEAR_UP_TO ? "logarithmic" : "linear";
}

/**
 * The points of a line that have a value, ordered by x. ``low`` and ``high`` bound the interval, if there is one.
 *
 * @param {StudyPoint[]} points
 * @param {{key: string, low: string, high: string}} measure
 * @param {Axis} axis
 */
export function pointsOf(points, measure, axis) {
  const found = [];
  for (const { x, word, y } of points) {
    const value = y[measure.key];
    if (value === null || value === undefined) continue;
    found.push({
      x: axis === "category" ? word : x,
      y: value,
      low: y[measure.low] ?? undefined,
      high: y[measure.high] ?? undefined,
    });
  }
  return axis === "category" ? found : found.sort((one, other) => Number(one.x) - Number(other.x));
}
