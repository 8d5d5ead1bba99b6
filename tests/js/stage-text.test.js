import assert from "node:assert/strict";
import { test } from "node:test";
import { countText, donePercent, isOverlapping, noteText, trafficText } from "../../static/js/stage-text.js";

const stage = (changes) => ({ stage: 1, kind: "judgements", status: "running", done: 20, total: 80, ...changes });

test("a stage says how far it is", () => {
  assert.equal(countText(stage({})), "20 of 80");
  assert.equal(countText(stage({ total: 0 })), "20");
  assert.equal(donePercent(stage({})), 25);
  assert.equal(donePercent(stage({ total: 0 })), 0);
  assert.equal(donePercent(stage({ done: 90 })), 100);
});

test("a stage at work says its speed and the time left", () => {
  assert.equal(noteText(stage({ rate: 2, seconds_left: 30 })), "2.0/s, 30\u00a0s left");
  assert.equal(noteText(stage({})), "");
});

test("a stage that is worked on before its turn says so", () => {
  const early = stage({ status: "pending", rate: 2, seconds_left: 30, progress: { tokens_per_second: 5 } });
  assert.equal(isOverlapping(early), true);
  assert.equal(isOverlapping(stage({ status: "pending", total: 0 })), false);
  assert.equal(noteText(early), "in parallel, 2.0/s");
  assert.equal(trafficText({ ...early, rate: 0 }), "");
});

test("a remote teacher's traffic is shown while rows are left", () => {
  const progress = { tokens_per_second: 1234.4, in_flight: 3 };
  assert.equal(trafficText(stage({ progress })), "60\u00a0to\u00a0go, 3\u00a0in\u00a0flight, 1,234\u00a0tokens/s");
  assert.equal(trafficText(stage({ progress, done: 80 })), "");
  assert.equal(trafficText(stage({})), "");
});
