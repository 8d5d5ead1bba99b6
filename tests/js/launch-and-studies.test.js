import assert from "node:assert/strict";
import { test } from "node:test";
import { linesOfNote } from "../../static/js/field-notes.js";
import { axisOf, pointsOf } from "../../static/js/study-plot.js";

test("problems of a field stand before its warnings and begin with a capital", () => {
  const note = { id: "f", shown: true, problems: ["must be positive"], warnings: ["unusually large"] };
  assert.deepEqual(linesOfNote(note), [
    { tone: "wrong", text: "Must be positive" },
    { tone: "warn", text: "unusually large" },
  ]);
});

const plot = (numeric, ...values) => ({
  measures: [],
  words: [],
  x: "λ",
  numeric,
  series: [{ label: "", points: values.map((x) => ({ x, word: `=${x}`, y: {} })) }],
});

test("a plot's axis is logarithmic where positive values span more than a factor of 30", () => {
  assert.equal(axisOf(plot(false, 1, 100)), "category");
  assert.equal(axisOf(plot(true, 1, 30)), "linear");
  assert.equal(axisOf(plot(true, 1, 31)), "logarithmic");
  assert.equal(axisOf(plot(true, 0, 31)), "linear");
});

test("points without a value are left out, and numbers run from left to right", () => {
  const points = [
    { x: 2, word: "two", y: { wins: 0.5, low: 0.4, high: 0.6 } },
    { x: 1, word: "one", y: { wins: 0, low: null } },
    { x: 3, word: "three", y: { wins: null } },
    { x: 4, word: "four", y: {} },
  ];
  const measure = { key: "wins", low: "low", high: "high" };
  assert.deepEqual(pointsOf(points, measure, "linear"), [
    { x: 1, y: 0, low: undefined, high: undefined },
    { x: 2, y: 0.5, low: 0.4, high: 0.6 },
  ]);
  assert.deepEqual(pointsOf(points, measure, "category"), [
    { x: "two", y: 0.5, low: 0.4, high: 0.6 },
    { x: "one", y: 0, low: undefined, high: undefined },
  ]);
});
