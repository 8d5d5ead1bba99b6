// The desk: annotate items by keyboard. app.js clicks the button whose data-key is pressed.

import { ask, asRefusal } from "./api.js";
import {
  fromDraft,
  isAnswered,
  scoreOf,
  toDraft,
  toggleHalf,
  toPreview,
  toRequest,
  withChoice,
  withScore,
} from "./desk-answer.js";
import { connectButtons } from "./desk-buttons.js";
import { Drafts } from "./desk-drafts.js";
import { showJudge, showPreview } from "./desk-judge.js";
import { deskKey, SCROLLS } from "./desk-keys.js";
import { keepLease } from "./desk-lease.js";
import {
  changeWaiting,
  drawAnswer,
  drawDifferences,
  drawDone,
  drawItem,
  drawResponses,
  scrollResponses,
  showProgress,
  showTrouble,
} from "./desk-view.js";
import { all, byId, fieldById, readJson, targetOf } from "./dom.js";
import { isField } from "./keys.js";
import { toast } from "./toast.js";

/**
 * @typedef {import("./desk-view.js").Item} Item
 * @typedef {import("./desk-answer.js").Answer} Answer
 */

/** @type {{id: number, person: string, kind: string, with_scores: boolean, lease_seconds: number}} */
const settings = readJson("desk-settings");
const { kind, with_scores: withScores } = settings;
const FIELDS = ["reason", "edit", ...(withScores ? ["why-0", "why-1"] : [])];
const DRAFT_STATES = {
  typing: "…",
  saved: "Draft saved",
  kept: "No connection. Your draft is kept on this device.",
};

/** The item on the screen. @type {Item | null} */
let item = null;
/** The prefetched next item. @type {Promise<Item | null> | null} */
let nextItem = null;
/** @type {Answer} */
let answer = {};
/** The sides that the next digit scores and that the last digit scored. */
let sides = { next: 0, last: 0 };
let isBusy = false; // while an answer is saved, no key or button acts
let differencesShown = false;
let newestReveal = 0; // a reveal that arrives after a newer one is dropped

const drafts = new Drafts(settings.person, (state) => {
  byId("draft-state").textContent = DRAFT_STATES[state];
});

// ---------------------------------------------------------------- the item and its answer

/** @param {Item} shown */
const idsOf = (shown) => shown.items.map(({ id }) => id);

/** Show the item with the answer of its draft. @param {Item} shown */
function draw(shown) {
  item = shown;
  differencesShown = false;
  drawItem(shown);
  const draft = drafts.newest(shown) ?? {};
  answer = fromDraft(draft, idsOf(shown), withScores);
  sides = { next: 0, last: 0 };
  if (withScores)
    shown.items.forEach((response, side) => {
      fieldById(`why-${side}`).value = draft.reasons?.[response.id] ?? "";
    });
  fieldById("reason").value = draft.reason ?? "";
  fieldById("edit").value = draft.text ?? "";
  byId("draft-state").textContent = shown.draft || draft.reason ? "Draft restored" : " ";
  if (shown.judge) showJudge(shown.judge, shown, kind);
  drawAnswer(shown, answer, sides);
  if (isAnswered(answer)) reveal(shown);
  const desk = byId("desk");
  desk.dataset.state = "ready";
  desk.dataset.task = String(shown.id);
  byId("say").textContent = `Next item. ${shown.prompt.text.slice(0, 200)}`;
}

/** Contents of the text fields. Reasons have response ids as keys; null if there are none. @param {Item} shown */
function texts(shown) {
  const given = withScores
    ? shown.items.map(({ id }, side) => [String(id), fieldById(`why-${side}`).value.trim()]).filter(([, text]) => text)
    : [];
  return {
    reason: fieldById("reason").value,
    text: fieldById("edit").value,
    reasons: given.length ? Object.fromEntries(given) : null,
  };
}

function keepDraft() {
  if (!item || isBusy) return;
  drafts.keep(item.id, toDraft(answer, texts(item)));
}

/**
 * Show the preview of the answer. In a blind queue the server stores it as first answer and returns the judge.
 *
 * @param {Item} shown
 */
async function reveal(shown) {
  newestReveal += 1;
  const mine = newestReveal;
  const current = texts(shown);
  if (answer.decision === "edit" && !current.text.trim()) return;
  try {
    const found = await ask("POST", `tasks/${shown.id}/reveal`, toPreview(answer, current, withScores, idsOf(shown)));
    if (mine !== newestReveal || item?.id !== shown.id) return;
    if (found.judge) showJudge(found.judge, shown, kind);
    showPreview(found.preview);
  } catch (error) {
    const refusal = asRefusal(error);
    if (mine === newestReveal && refusal.status) showTrouble(refusal.message);
  }
}

/** @param {Item} shown @param {Answer} changed */
function setAnswer(shown, changed) {
  answer = changed;
  showTrouble("");
  drawAnswer(shown, answer, sides);
  keepDraft();
  if (isAnswered(answer)) reveal(shown);
}

/** @param {Answer} change */
function choose(change) {
  if (!isBusy && item) setAnswer(item, withChoice(answer, change));
}

/** @param {number} side @param {number} value */
function scoreSide(side, value) {
  if (isBusy || !item) return;
  const [left, right] = idsOf(item);
  const scored = withScore(answer, [left, right], side, value);
  sides = { next: scored.nextSide, last: side };
  setAnswer(item, scored.answer);
}

/** Edit the preferred response, or the chosen one of the pair. */
function edit() {
  if (!item) return;
  const preferred = answer.preferred ?? item.judge?.chosen;
  const from = item.items.find(({ id }) => id === preferred);
  if (!from) {
    toast("Choose the better response first: A or B");
    return;
  }
  const field = fieldById("edit");
  if (!field.value) field.value = from.text;
  answer = withChoice(answer, { decision: "edit", preferred: from.id });
  drawAnswer(item, answer, sides);
  keepDraft();
  field.focus();
}

async function toggleDifferences() {
  if (!item) return;
  const here = item;
  if (differencesShown) {
    differencesShown = false;
    drawResponses(here);
    return;
  }
  try {
    const found = await ask("GET", `tasks/${here.id}/differences`);
    if (item?.id !== here.id) return;
    drawDifferences(found.items);
    differencesShown = true;
  } catch (error) {
    showTrouble(asRefusal(error).message);
  }
}

// ---------------------------------------------------------------- loading, saving and skipping items

/** @param {boolean} on */
function lock(on) {
  isBusy = on;
  byId("desk").dataset.busy = on ? "1" : "";
  for (const button of all("#bar button, .pane button, .score-key, #try-again")) button.toggleAttribute("disabled", on);
  for (const name of FIELDS) fieldById(name).readOnly = on;
}

/** @param {{beside?: number}} body @returns {Promise<Item | null>} */
const takeNext = (body) => ask("POST", `queues/${settings.id}/next`, body);

/** Prefetch the item after this one. If that fails, showNext loads it. @param {Item} shown */
function preload(shown) {
  nextItem = takeNext({ beside: shown.id }).catch(() => null);
}

/** @param {Item} found */
function show(found) {
  draw(found);
  preload(found);
}

/** @param {string} [title] @param {string} [text] */
function finish(title, text) {
  item = null;
  drawDone(title, text);
}

async function load() {
  lock(true);
  try {
    const found = await takeNext({});
    showTrouble("");
    if (found) show(found);
    else finish();
  } catch (error) {
    const { message } = asRefusal(error);
    showTrouble(message);
    finish("This queue has no items to answer", message);
  } finally {
    lock(false);
  }
  ask("GET", `queues/${settings.id}/progress`).then(showProgress, () => {});
}

/** Show the prefetched item, or load the next one. */
async function showNext() {
  const loading = nextItem;
  nextItem = null;
  const found = loading && (await loading);
  if (found && found.id !== item?.id) {
    show(found);
    ask("POST", `tasks/${found.id}/seen`).catch(() => {});
    return;
  }
  const fresh = await takeNext({});
  if (fresh) show(fresh);
  else finish();
}

async function save() {
  if (isBusy || !item) return;
  if (!isAnswered(answer)) {
    if (kind !== "pair" || item.blind) {
      toast(kind === "score" ? "Give a score first: 0 to 5" : "Choose first: A, B, T or X");
      return;
    }
    answer = { decision: "confirm" };
  }
  const here = item;
  lock(true);
  try {
    const saved = await ask("POST", `tasks/${here.id}/submit`, toRequest(answer, texts(here), withScores));
    changeWaiting(-1);
    await drafts.drop(here.id);
    showTrouble("");
    showProgress(saved.progress);
    await showNext();
  } catch (error) {
    const refusal = asRefusal(error);
    if (refusal.code === "lease-lost") {
      await drafts.drop(here.id);
      toast(refusal.message, "bad");
      await showNext().catch((problem) => showTrouble(problem.message));
    } else if (refusal.status === 0) showTrouble("The server does not respond. Press Enter to save your answer again.");
    else showTrouble(refusal.message);
  } finally {
    lock(false);
  }
}

async function skip() {
  if (isBusy || !item) return;
  const here = item;
  lock(true);
  try {
    const saved = await ask("POST", `tasks/${here.id}/skip`, { reason: fieldById("reason").value });
    changeWaiting(-1);
    await drafts.drop(here.id);
    showProgress(saved.progress);
    await showNext();
  } catch (error) {
    showTrouble(asRefusal(error).message);
  } finally {
    lock(false);
  }
}

async function undo() {
  if (isBusy) return;
  lock(true);
  try {
    const hadItem = item !== null;
    if (hadItem) await drafts.flush();
    const found = await ask("POST", `queues/${settings.id}/undo`);
    if (!found) {
      toast("Taken back. Another person has that item now.");
      return;
    }
    changeWaiting(1);
    draw(found);
    showProgress(found.progress);
    // The item on the screen comes next; its draft is stored.
    if (hadItem) preload(found);
    toast("Taken back");
  } catch (error) {
    const refusal = asRefusal(error);
    if (refusal.code === "nothing-to-undo") toast(refusal.message);
    else showTrouble(refusal.message);
  } finally {
    lock(false);
  }
}

// ---------------------------------------------------------------- buttons and keys

connectButtons({
  prefer: (side) => item && choose({ preferred: item.items[side].id }),
  decide: (decision) => choose({ decision }),
  score: (score) => choose({ score }),
  scoreSide,
  toggleHalf: (side) => {
    if (side === undefined) choose({ score: toggleHalf(answer.score) });
    else if (item) scoreSide(side, toggleHalf(scoreOf(answer, item.items[side].id)));
  },
  edit,
  save,
  skip,
  undo,
  toggleDifferences,
  tryAgain: load,
});
for (const name of FIELDS) byId(name).addEventListener("input", keepDraft);
byId("edit").addEventListener("change", () => item && isAnswered(answer) && reveal(item));

document.addEventListener(
  "keydown",
  (event) => {
    const target = targetOf(event);
    // A closing dialog's button keeps the focus briefly, so only a visible control counts.
    const action = deskKey(event, {
      dialogOpen: document.querySelector("dialog[open]") !== null,
      isBusy,
      inField: isField(target),
      inResponse: target.closest(".rendered") !== null,
      onControl: target.closest("a, summary, button")?.checkVisibility() ?? false,
    });
    if (action === "pass") return;
    if (action === "scroll") {
      if (scrollResponses(SCROLLS[event.key])) event.preventDefault();
      return;
    }
    event.stopPropagation();
    if (action === "stop") return;
    event.preventDefault();
    if (action === "save") save();
  },
  true,
);

// ---------------------------------------------------------------- leases and connection

keepLease(settings.lease_seconds, () => {
  if (item) ask("POST", `queues/${settings.id}/renew`).catch(() => {});
});

addEventListener("pagehide", () => {
  drafts.flush({ keepalive: true });
  const here = item?.id;
  nextItem?.then((found) => {
    if (found && found.id !== here)
      ask("POST", `tasks/${found.id}/release`, undefined, { keepalive: true }).catch(() => {});
  });
});
addEventListener("online", () => showTrouble(""));
addEventListener("offline", () => showTrouble("No connection. What you type is kept on this device."));

load();
