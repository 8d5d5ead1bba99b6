// Data of training curves: charts of a training, points and running means. No access to the DOM.

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
 * A line of a chart: name of the metric, label in the key, colour of the stylesheet.
 * @typedef {[string, string, string]} Line
 *
 * A chart.
 * @typedef {object} Shape
 * @property {string} title
 * @property {Line[]} lines
 * @property {string} [unit]
 * @property {boolean} [smooth] draw running means over the single steps
 * @property {boolean} [share] values are shares, drawn as percentages
 * @property {boolean} [zero] the axis begins at 0
 * @property {boolean} [limit] draw the curve's limit as a guide
 * @property {number} [scale] factor from the stored unit to the drawn one
 */

/** @type {Shape} */
const LOSS = { title: "Loss", lines: [["loss", "loss", "ink"]], smooth: true };
/** @type {Shape[]} */
const MACHINE = [
  {
    title: "Gradient norm",
    unit: "before clipping",
    limit: true,
    lines: [["grad_norm", "norm", "ink"]],
    smooth: true,
  },
  { title: "Learning rate", lines: [["learning_rate", "rate", "accent"]] },
  {
    title: "Speed",
    unit: "tokens per second",
    zero: true,
    lines: [["tokens_per_second", "speed", "ink"]],
    smooth: true,
  },
  { title: "Memory", unit: "GB", zero: true, scale: 1e-9, lines: [["memory_bytes", "memory", "ink"]] },
];
/** @type {Shape[]} */
const PREFERENCE_TRAINING = [
  {
    title: "Rewards",
    unit: "β · nats",
    lines: [
      ["chosen_reward", "chosen", "good"],
      ["rejected_reward", "rejected", "bad"],
    ],
    smooth: true,
  },
  {
    title: "Margin",
    unit: "β · nats",
    lines: [
      ["margin", "margin", "ink"],
      ["augmented_margin", "Δ", "accent"],
    ],
    smooth: true,
  },
  {
    title: "Accuracy",
    unit: "share of pairs",
    share: true,
    lines: [
      ["accuracy", "plain", "ink"],
      ["augmented_accuracy", "augmented", "accent"],
    ],
    smooth: true,
  },
  LOSS,
  { title: "KL estimate", unit: "nats per response", lines: [["kl", "KL", "accent"]], smooth: true },
  ...MACHINE,
];
/** @type {Shape[]} */
const FINE_TUNING = [{ ...LOSS, unit: "nats per token" }, ...MACHINE];

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
 * The charts of a training. A stage that both fine-tunes and trains on pairs shows a margin.
 *
 * @param {Curve} curve
 */
export const shapesOf = (curve) => (curve.lines.margin || curve.stage !== "sft" ? PREFERENCE_TRAINING : FINE_TUNING);

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
 * @param {Curve} curve
 */
export const countLines = (curve) => shapesOf(curve).reduce((sum, shape) => sum + linesOf(shape, curve).length, 0);

/**
 * Add the points of a metrics event. A step that is repeated after a crash replaces all points from that step on.
 *
 * @param {Curve} curve changed in place
 * @param {(Record<string, number | null | undefined> & {step: number})[]} points
 * @returns {{longest: number, stepsChanged: boolean}} points of the longest line, and whether the axis has a new length
 */
export function addPoints(curve, points) {
  let longest = 0;
  let stepsChanged = false;
  for (const point of points) {
    if (point.total_steps && point.total_steps !== curve.steps) {
      curve.steps = point.total_steps;
      stepsChanged = true;
    }
    for (const shape of shapesOf(curve)) {
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
 * The newest value of a line in the chart's unit, or null.
 *
 * @param {Shape} shape
 * @param {Point[] | undefined} line
 */
export function newestValue(shape, line) {
  return line?.length ? line[line.length - 1][1] * (shape.scale ?? 1) : null;
}

/**
 * Convert a line to Chart.js points.
 *
 * @param {Point[]} [line]
 * @param {number} [scale]
 */
export const toPoints = (line = [], scale = 1) => line.map(([x, y]) => ({ x, y: y * scale }));

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
export const isSmoothed = (shape, data) => Boolean(shape.smooth) && data.length >= FEWEST_TO_SMOOTH;
