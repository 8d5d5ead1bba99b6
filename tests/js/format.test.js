import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, count, figure, formatted, percent, score, size, speed, timeLeft } from "../../static/js/format.js";

test("whole numbers have separators", () => {
  assert.equal(count(1234567), "1,234,567");
});

test("a figure has the digits that it needs", () => {
  const cases = [
    [null, "–"],
    [undefined, "–"],
    [Number.NaN, "–"],
    [0, "0.00"],
    [1234.5, "1,235"],
    [-0.5, "−0.50"],
    [0.000031, "3.1e−5"],
    [0.00002, "2e−5"],
  ];
  for (const [value, text] of cases) assert.equal(figure(value), text);
});

test("a percentage is rounded to the digits asked for", () => {
  assert.equal(percent(0.125), "13\u00a0%");
  assert.equal(percent(0.125, 1), "12.5\u00a0%");
});

test("a value has the format of its metric", () => {
  assert.equal(formatted(0.125, "percent"), "13\u00a0%");
  assert.equal(formatted(0.125, "percent", 1), "12.5\u00a0%");
  assert.equal(formatted(2.5e9, "bytes"), "2.5\u00a0GB");
  assert.equal(formatted(0.125, "number"), "0.13");
  assert.equal(formatted(null, "percent"), "–");
});

test("a score has no zeros at its end", () => {
  assert.deepEqual([score(4), score(3.5), score(2.666)], ["4", "3.5", "2.67"]);
});

test("a slow speed is per minute", () => {
  assert.deepEqual([speed(null), speed(-1), speed(0)], ["", "", ""]);
  assert.deepEqual([speed(1234), speed(2.34), speed(0.5), speed(0.05)], ["1,234/s", "2.3/s", "0.5/s", "3/min"]);
});

test("the longer the time left, the coarser it is rounded", () => {
  assert.deepEqual([timeLeft(null), timeLeft(-1)], ["", ""]);
  assert.deepEqual([7, 12, 61, 5400, 7200, 172800].map(timeLeft), [
    "a few seconds left",
    "15\u00a0s left",
    "2\u00a0min left",
    "1.5\u00a0h left",
    "2\u00a0h left",
    "2\u00a0days left",
  ]);
});

test("times ago change their unit", () => {
  assert.deepEqual([9, 59, 61, 3601, 86400, 200000].map(ago), [
    "just now",
    "59 s ago",
    "1 min ago",
    "1 h ago",
    "yesterday",
    "2 days ago",
  ]);
});

test("sizes are decimal and lose their digit near a hundred", () => {
  assert.deepEqual([0, 999, 1000, 99.96e6, 1.5e9, 2.5e12, 2e15].map(size), [
    "0\u00a0B",
    "999\u00a0B",
    "1.0\u00a0kB",
    "100\u00a0MB",
    "1.5\u00a0GB",
    "2.5\u00a0TB",
    "2000\u00a0TB",
  ]);
});
