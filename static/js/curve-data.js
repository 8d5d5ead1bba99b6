// Data of training curves: types of charts and points, and running means. No access to the DOM.

/**
 * A point of a line: [training step, value].
 * @typedef {[number, number]} Point
 *
 * The curves of one training, as the server sends them.
 * @typedef {object} Curve
 * @property {number} iteration
 * @property {string} stage kind of the stage that trained
 * @property {string} [series] name of a training among several of one stage
 * @property {string} label
 * @property {number | null} steps total training steps, if known
 * @property {Record<string, Point[]>} lines points of each metric, by its name
 * @property {{key: string, title: string, text: string}[]} [notes] observations on the curves
 * @property {number | null} [limit] the gradient norm at which gradients are clipped
 *
 * A line of a chart: key of the metric, its label, colour of the stylesheet.
 * @typedef {[string, string, string]} Line
 *
 * A chart, as the server sends it with the words and formats of the metrics.
 * @typedef {object} Shape
 * @property {string} title
 * @property {Line[]} lines
 * @property {string} unit
 * @property {string} fine_tuning_unit the unit in fine-tuning
 * @property {string} format display format of the values, for formatted()
 * @property {string} about what is measured
 * @property {boolean} smooth draw running means over the single steps
 * @property {boolean} zero the axis begins at 0
 * @property {"" | "chance" | "limit"} guide a dashed line at 0.5, or at the curve's limit
 */

/** The server reduces lines with more points than this. */
export const MOST_POINTS = 900;
const FEWEST_TO_SMOOTH = 30;

/**
 * The key of a curve within its run.
 *
 * @param {{iteration: number, stage: string, series?: string}} curve
 */
export const curveKey = ({ iteration, stage, series = "" }) => `${iteration}:${stage}:${series}`;

/**
 * The unit of a chart. A stage that both fine-tunes and trains on pairs shows a margin.
 *
 * @param {Shape} shape
 * @param {Curve} curve
 */
export const unitOf = (shape, curve) =>
  curve.lines.margin || curve.stage !== "sft" ? shape.unit : shape.fine_tuning_unit;

/**
 * The lines of a chart that have points.
 *
 * @param {Shape} shape
 * @param {Curve} curve
 */
export const linesOf = (shape, curve) => shape.lines.filter(([name]) => curve.lines[name]?.length);

/**
 * How many lines all charts of a training have.
 *
 * @param {Shape[]} shapes
 * @param {Curve} curve
 */
export const countLines = (shapes, curve) => shapes.reduce((sum, shape) => sum + linesOf(shape, curve).length, 0);

/**
 * Add the points of a metrics event. A step that is repeated after a crash replaces all points from that step on.
 *
 * @param {Shape[]} shapes all charts; values of other metrics are left out
 * @param {Curve} curve changed in place
 * @param {(Record<string, number | null | undefined> & {step: number})[]} points
 * @returns {{longest: number, stepsChanged: boolean}} points of the longest line, and whether the axis has a new length
 */
export function addPoints(shapes, curve, points) {
  let longest = 0;
  let stepsChanged = false;
  for (const point of points) {
    if (point.total_steps && point.total_steps !== curve.steps) {
      curve.steps = point.total_steps;
      stepsChanged = true;
    }
    for (const shape of shapes) {
      for (const [name] of shape.lines) {
        const value = point[name];
        if (value === undefined || value === null) continue;
        curve.lines[name] ??= [];
        const line = curve.lines[name];
        while (line.length && line[line.length - 1][0] >= point.step) line.pop();
        line.push([point.step, value]);
        longest = Math.max(longest, line.length);
      }
    }
  }
  return { longest, stepsChanged };
}

/**
 * The newest value of a line, or null.
 *
 * @param {Point[] | undefined} line
 */
export const newestValue = (line) => (line?.length ? line[line.length - 1][1] : null);

/**
 * Convert a line to Chart.js points.
 *
 * @param {Point[]} [line]
 */
export const toPoints = (line = []) => line.map(([x, y]) => ({ x, y }));

/**
 * The running mean with a window of 1/15 of the line's points.
 *
 * @param {{x: number, y: number}[]} data
 */
export function runningMean(data) {
  const width = Math.ceil(data.length / 15);
  let sum = 0;
  return data.map(({ x, y }, place) => {
    sum += y - (place >= width ? data[place - width].y : 0);
    return { x, y: sum / Math.min(place + 1, width) };
  });
}

/**
 * Whether a line is long enough to be drawn with its running mean.
 *
 * @param {Shape} shape
 * @param {object[]} data
 */
export const isSmoothed = (shape, data) => shape.smooth && data.length >= FEWEST_TO_SMOOTH;
