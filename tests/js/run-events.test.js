import assert from "node:assert/strict";
import { test } from "node:test";
import { condense, hasGap, retryDelay, unseen } from "../../static/js/run-events.js";

const event = (seq, kind = "log", payload = {}) => ({ seq, kind, payload, at: "2026-01-01T00:00:00Z" });
const seqs = (events) => events.map(({ seq }) => seq);

test("events up to the cursor are not shown again", () => {
  assert.deepEqual(seqs(unseen([event(3), event(4), event(5)], 4)), [5]);
  assert.deepEqual(unseen([event(3)], 3), []);
});

test("a gap is seen at the first new event", () => {
  assert.equal(hasGap([event(4), event(5)], 4), false);
  assert.equal(hasGap([event(6)], 4), true);
  assert.equal(hasGap([event(3)], 4), false, "nothing new has no gap");
  assert.equal(hasGap([], 4), false);
});

test("retries wait longer each time, up to a limit, and are spread", () => {
  assert.deepEqual(
    [1, 2, 3].map((failures) => retryDelay(failures, 0.5)),
    [500, 1000, 2000],
  );
  assert.equal(retryDelay(30, 0.5), 10000);
  assert.deepEqual([retryDelay(1, 0), retryDelay(1, 1)], [250, 750]);
});

test("of many events only the newest of each stage and of the machine are drawn", () => {
  const { stages, machine, others } = condense([
    event(1, "stage", { stage: 7, done: 1 }),
    event(2, "log"),
    event(3, "gauge", { cpu: 1 }),
    event(4, "stage", { stage: 8, done: 1 }),
    event(5, "stage", { stage: 7, done: 2 }),
    event(6, "gauge", { cpu: 2 }),
    event(7, "metrics"),
  ]);
  assert.deepEqual(stages, [
    { stage: 7, done: 2 },
    { stage: 8, done: 1 },
  ]);
  assert.deepEqual(machine, { cpu: 2 });
  assert.deepEqual(seqs(others), [2, 7]);
});

test("without events of the machine there is nothing to draw of it", () => {
  assert.equal(condense([event(1)]).machine, null);
});
