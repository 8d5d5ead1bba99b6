import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fromDraft,
  isAnswered,
  progressText,
  scoreOf,
  toDraft,
  toggleHalf,
  toPreview,
  toRequest,
  withChoice,
  withScore,
} from "../../static/js/desk-answer.js";

const IDS = [11, 12];
const NO_TEXTS = { reason: "", text: "", reasons: null };

test("a decision, a preference or a score answers an item; scores of a pair alone do not", () => {
  assert.equal(isAnswered({}), false);
  assert.equal(isAnswered({ scores: { 11: 4 } }), false);
  assert.equal(isAnswered({ decision: "tie" }), true);
  assert.equal(isAnswered({ preferred: 11 }), true);
  assert.equal(isAnswered({ score: 0 }), true);
});

test("a choice keeps the scores beside it and nothing else", () => {
  assert.deepEqual(withChoice({ decision: "tie", scores: { 11: 4 } }, { preferred: 12 }), {
    preferred: 12,
    scores: { 11: 4 },
  });
  assert.deepEqual(withChoice({ decision: "tie" }, { preferred: 12 }), { preferred: 12 });
});

test("the first score does not prefer a response, and the next digit is for the other side", () => {
  assert.deepEqual(withScore({}, IDS, 0, 4), { answer: { scores: { 11: 4 } }, nextSide: 1 });
  assert.deepEqual(withScore({}, IDS, 1, 4), { answer: { scores: { 12: 4 } }, nextSide: 0 });
});

test("unequal scores prefer the higher one, equal scores take that back", () => {
  const unequal = withScore({ scores: { 11: 4 } }, IDS, 1, 2);
  assert.deepEqual(unequal, { answer: { scores: { 11: 4, 12: 2 }, preferred: 11, byScores: true }, nextSide: 0 });
  const equal = withScore(unequal.answer, IDS, 0, 2).answer;
  assert.equal(equal.preferred, undefined);
});

test("scores do not change what a key chose", () => {
  assert.equal(withScore({ preferred: 12, scores: { 11: 4 } }, IDS, 1, 2).answer.preferred, 12);
  assert.equal(withScore({ decision: "tie", scores: { 11: 4 } }, IDS, 1, 2).answer.preferred, undefined);
});

test("half a point is added once and taken back; the highest score stays whole", () => {
  assert.deepEqual([undefined, 3, 3.5, 5].map(toggleHalf), [0.5, 3.5, 3, 5]);
});

test("a score is the item's or that of one response", () => {
  assert.equal(scoreOf({ score: 3 }), 3);
  assert.equal(scoreOf({ scores: { 12: 2 } }, 12), 2);
  assert.equal(scoreOf({}, 12), undefined);
});

test("a draft is read back as it was kept, without a response that is gone", () => {
  const answer = { preferred: 11, scores: { 11: 4, 12: 1 } };
  const draft = toDraft(answer, { reason: "Shorter.", text: "", reasons: { 11: "Right." } });
  assert.deepEqual(draft, { ...answer, reason: "Shorter.", reasons: { 11: "Right." } });
  assert.deepEqual(fromDraft(draft, IDS, true), answer);
  assert.deepEqual(fromDraft(draft, IDS, false), { preferred: 11 });
  assert.deepEqual(fromDraft(draft, [12, 13], true), { scores: answer.scores });
});

test("only an edit sends its text, and only a queue with scores sends reasons", () => {
  const texts = { reason: "Because.", text: "Better.", reasons: { 11: "Right." } };
  assert.deepEqual(toRequest({ decision: "tie" }, texts, false), {
    decision: "tie",
    preferred: null,
    score: null,
    text: "",
    reason: "Because.",
  });
  assert.equal(toRequest({ decision: "edit", preferred: 11 }, texts, false).text, "Better.");
  assert.deepEqual(toRequest({}, NO_TEXTS, true).reasons, null);
});

test("a preview is asked with both scores or with none", () => {
  const texts = { ...NO_TEXTS, reasons: { 11: "Right." } };
  const one = toPreview({ decision: "tie", scores: { 11: 4 } }, texts, true, IDS);
  assert.equal("scores" in one || "reasons" in one, false);
  const both = toPreview({ scores: { 11: 4, 12: 1 } }, texts, true, IDS);
  assert.deepEqual([both.scores, both.reasons], [{ 11: 4, 12: 1 }, { 11: "Right." }]);
});

test("progress names minutes and a streak only where there are any", () => {
  const progress = { done: 3, total: 30, today: 2, seconds_today: 20, streak: 1 };
  assert.equal(progressText(progress), "3 of 30 · 2 today");
  assert.equal(progressText({ ...progress, seconds_today: 95, streak: 3 }), "3 of 30 · 2 today · 2 min · 3 in a row");
});
