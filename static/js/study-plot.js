// The plot of a study: its axis and its points. No access to the page.

/**
 * @typedef {{x: number, word: string, y: Record<string, number | null | undefined>}} StudyPoint
 *
 * @typedef {object} Plot
 * @property {{key: string, label: string, form: string}[]} measures
 * @property {{label: string, points: StudyPoint[]}[]} series a line for each value of the second field
 * @property {boolean} numeric whether the values of the first field are numbers
 * @property {string[]} words the values of the first field in words
 * @property {string} x name of the first field
 * @property {string} [series_of] name of the second field
 *
 * @typedef {"category" | "linear" | "logarithmic"} Axis
 */

/** A logarithmic axis is used where the largest value is more than this many times the smallest. */
const LINEAR_UP_TO = 30;

/**
 * The kind of the horizontal axis: categories for words, logarithmic for a wide span of numbers above 0.
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
 * The points of a line that have a value, from left to right.
 *
 * @param {StudyPoint[]} points
 * @param {string} measure
 * @param {Axis} axis
 */
export function pointsOf(points, measure, axis) {
  const found = [];
  for (const { x, word, y } of points) {
    const value = y[measure];
    if (value !== null && value !== undefined) found.push({ x: axis === "category" ? word : x, y: value });
  }
  return axis === "category" ? found : found.sort((one, other) => Number(one.x) - Number(other.x));
}
