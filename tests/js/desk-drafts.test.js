import assert from "node:assert/strict";
import { test } from "node:test";
import { asRefusal, Refusal } from "../../static/js/api.js";
import { newerDraft } from "../../static/js/desk-drafts.js";

const AT = "2026-01-01T12:00:00Z";
const onServer = { draft: { reason: "server" }, draft_saved_at: AT };
const kept = (at) => ({ draft: { reason: "device" }, at });

test("the newer of two drafts counts", () => {
  assert.deepEqual(newerDraft(kept(Date.parse(AT) + 1), onServer), { reason: "device" });
  assert.deepEqual(newerDraft(kept(Date.parse(AT)), onServer), { reason: "server" });
});

test("one draft alone counts, however old it is", () => {
  assert.deepEqual(newerDraft(kept(0), { draft: null, draft_saved_at: AT }), { reason: "device" });
  assert.deepEqual(newerDraft(null, onServer), { reason: "server" });
  assert.equal(newerDraft(null, { draft: null, draft_saved_at: null }), null);
});

test("an error of a script is told from a refusal of the server", () => {
  const refusal = new Refusal(409, "lease-lost", "Somebody else has it.");
  assert.equal(asRefusal(refusal), refusal);
  assert.equal(asRefusal(new TypeError("no")).code, "script");
});
