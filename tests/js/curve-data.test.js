import assert from "node:assert/strict";
import { test } from "node:test";
import { datasets, faded } from "../../static/js/chart-options.js";
import {
  addPoints,
  countLines,
  curveKey,
  linesOf,
  newestValue,
  runningMean,
  toPoints,
  unitOf,
} from "../../static/js/curve-data.js";

const curve = (changes = {}) => ({ iteration: 1, stage: "training", label: "M2", steps: null, lines: {}, ...changes });
const chart = (changes = {}) => ({
  title: "Loss",
  lines: [["loss", "Loss", "ink"]],
  unit: "",
  fine_tuning_unit: "nats per token",
  format: "number",
  about: "",
  smooth: true,
  zero: false,
  guide: "",
  ...changes,
});
const charts = [
  chart({
    title: "Rewards",
    lines: [
      ["chosen_reward", "chosen", "good"],
      ["rejected_reward", "rejected", "bad"],
    ],
  }),
  chart({ title: "Reward margin", lines: [["margin", "Reward margin", "ink"]] }),
  chart(),
];
const theme = { ink: "rgb(1, 2, 3)", good: "green", bad: "red", accent: "blue", mute: "grey" };

test("trainings of one stage are told apart by their series", () => {
  assert.equal(curveKey({ iteration: 1, stage: "training" }), "1:training:");
  assert.equal(curveKey({ iteration: 1, stage: "training", series: "β 0.1" }), "1:training:β 0.1");
});

test("points are added to the lines of known metrics, and missing values are left out", () => {
  const training = curve();
  const added = addPoints(charts, training, [
    { step: 1, total_steps: 10, loss: 0.7, margin: null, unknown: 5 },
    { step: 2, total_steps: 10, loss: 0.6 },
  ]);
  assert.deepEqual(training.lines, {
    loss: [
      [1, 0.7],
      [2, 0.6],
    ],
  });
  assert.deepEqual(added, { longest: 2, stepsChanged: true });
  assert.equal(training.steps, 10);
  assert.equal(addPoints(charts, training, [{ step: 3, total_steps: 10, loss: 0.5 }]).stepsChanged, false);
});

test("a step that is trained again replaces the points from there on", () => {
  const training = curve({
    lines: {
      loss: [
        [1, 0.9],
        [2, 0.8],
        [3, 0.7],
      ],
    },
  });
  addPoints(charts, training, [{ step: 2, loss: 0.5 }]);
  assert.deepEqual(training.lines.loss, [
    [1, 0.9],
    [2, 0.5],
  ]);
});

test("fine-tuning has its own unit, unless it trained on pairs as well", () => {
  const [, , loss] = charts;
  assert.equal(unitOf(loss, curve({ stage: "sft" })), "nats per token");
  assert.equal(unitOf(loss, curve()), "");
  assert.equal(unitOf(loss, curve({ stage: "sft", lines: { margin: [[1, 0]] } })), "");
});

test("only lines with points are drawn and counted", () => {
  const training = curve({ lines: { chosen_reward: [[1, 0.1]], loss: [] } });
  const [rewards] = charts;
  assert.deepEqual(
    linesOf(rewards, training).map(([name]) => name),
    ["chosen_reward"],
  );
  assert.equal(countLines(charts, training), 1);
});

test("the running mean covers a fifteenth of the line and fewer points at its start", () => {
  const data = Array.from({ length: 30 }, (_, x) => ({ x, y: x }));
  const means = runningMean(data);
  assert.equal(means[0].y, 0);
  assert.equal(means[1].y, 0.5);
  assert.equal(means[29].y, 28.5);
  assert.deepEqual(
    means.map(({ x }) => x),
    data.map(({ x }) => x),
  );
});

test("the newest value of a line is its last point's", () => {
  assert.deepEqual(toPoints([[1, 2e9]]), [{ x: 1, y: 2e9 }]);
  assert.equal(
    newestValue([
      [1, 3e9],
      [2, 4e9],
    ]),
    4e9,
  );
  assert.equal(newestValue([]), null);
});

test("a long line is drawn as means in front of its faint steps, a short one as it is", () => {
  const shape = chart();
  const points = (count) => Array.from({ length: count }, (_, step) => [step, 1]);
  const labels = (count) => datasets(shape, curve({ lines: { loss: points(count) } }), theme).map(({ label }) => label);
  assert.deepEqual(labels(29), ["Loss"]);
  assert.deepEqual(labels(30), ["Loss", ""]);
  assert.deepEqual(labels(1), ["Loss"]);
});

test("a share has a guide at one half, over the whole training", () => {
  const shape = chart({ lines: [["accuracy", "Reward accuracy", "ink"]], format: "percent", guide: "chance" });
  const drawn = datasets(shape, curve({ steps: 50, lines: { accuracy: [[10, 0.7]] } }), theme);
  assert.deepEqual(drawn.at(-1).data, [
    { x: 0, y: 0.5 },
    { x: 50, y: 0.5 },
  ]);
});

test("a faint colour keeps its tone", () => {
  assert.equal(faded("rgb(1, 2, 3)"), "rgba(1, 2, 3, 0.28)");
  assert.equal(faded("oklch(1 0 0)"), "color-mix(in srgb, oklch(1 0 0) 28%, transparent)");
});
