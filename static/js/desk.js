// The desk: one item after the other by keyboard. Buttons carry their keys; app.js presses them.

import { toast } from "./app.js";
import { hideJudge, line, showJudge, showPreview } from "./desk-judge.js";
import { ask, Drafts } from "./desk-store.js";

const $ = (id) => document.getElementById(id);
const settings = JSON.parse($("desk-settings").textContent);
const { kind, with_scores: withScores } = settings;
const fields = ["reason", "edit", ...(withScores ? ["why-0", "why-1"] : [])];

let item = null; // the item on the screen
let ahead = null; // a promise of the one after it
let answer = {}; // {decision} or {preferred} or {score}; of a pair also {scores: {response id: score}}
let scoring = 0; // the side whose score the next digit gives
let scored = 0; // the side that the last digit scored, to which half a point belongs
let busy = false; // while an answer is saved, nothing acts
let seenAt = 0;
let activeAt = Date.now();
let marked = false;
let allDone = false;
let waitsForOthers = false; // the page says that what is left is with others
let asked = 0; // number of the newest reveal: an older answer to come late is dropped

const drafts = new Drafts(settings.person, (state) => {
  const texts = { typing: "…", saved: "Draft saved", kept: "No connection. Your draft is kept on this device." };
  $("draft-state").textContent = texts[state];
});

// ---------------------------------------------------------------- drawing

/** HTML that the server has cleaned; nothing else is ever set as HTML. */
function fill(node, html) {
  node.innerHTML = html;
  node.scrollTop = 0;
}

function draw() {
  $("done").hidden = true;
  $("item").hidden = $("bar").hidden = false;
  // Out of the field that the last answer was saved from: the next key is for the new item, which begins at its prompt.
  $("prompt-title").focus({ preventScroll: true });
  scrollTo(0, 0);
  fill($("prompt"), item.prompt.html);
  $("earlier").hidden = !item.prompt.earlier.length;
  $("earlier-turns").replaceChildren(
    ...item.prompt.earlier.map((turn) => {
      const block = document.createElement("div");
      const who = document.createElement("b");
      who.textContent = turn.role;
      const text = document.createElement("div");
      text.className = "rendered";
      fill(text, turn.html);
      block.append(who, text);
      return block;
    }),
  );
  drawResponses();
  const draft = drafts.newest(item) ?? {};
  answer = {};
  for (const name of ["decision", "preferred", "score"]) if (draft[name] !== undefined) answer[name] = draft[name];
  if (withScores) {
    if (draft.scores) answer.scores = draft.scores;
    item.items.forEach((response, side) => ($(`why-${side}`).value = draft.reasons?.[response.id] ?? ""));
  }
  scoring = scored = 0;
  if (answer.preferred !== undefined && !item.items.some((one) => one.id === answer.preferred)) delete answer.preferred;
  $("reason").value = draft.reason ?? "";
  $("edit").value = draft.text ?? "";
  $("draft-state").textContent = item.draft || draft.reason ? "Draft restored" : " ";
  hideJudge();
  if (item.judge) showJudge(item.judge, item, kind);
  paint();
  if (hasAnswer()) reveal();
  seenAt = Date.now();
  $("desk").dataset.state = "ready";
  $("desk").dataset.task = item.id;
  $("say").textContent = `Next item. ${item.prompt.text.slice(0, 200)}`;
}

function drawResponses() {
  marked = false;
  $("differences")?.setAttribute("aria-pressed", "false");
  item.items.forEach((response, side) => fill($(`response-${side}`), response.html));
}

/** Pressed buttons and the chosen pane, as the answer says. */
function paint() {
  item.items.forEach((response, side) => {
    const chosen = answer.preferred === response.id;
    $(`pane-${side}`).classList.toggle("is-picked", chosen);
    $(`choose-${side}`)?.setAttribute("aria-pressed", String(chosen));
  });
  for (const button of document.querySelectorAll("[data-decision]"))
    button.setAttribute("aria-pressed", String(answer.decision === button.dataset.decision));
  $("flip")?.setAttribute("aria-pressed", String(answer.decision === "flip"));
  for (const button of document.querySelectorAll("[data-score]"))
    button.setAttribute("aria-pressed", String(Math.floor(scoreOf(button.dataset.side) ?? -1) === Number(button.dataset.score)));
  for (const button of document.querySelectorAll("[data-half]"))
    button.setAttribute("aria-pressed", String((scoreOf(button.dataset.side) ?? 0) % 1 !== 0));
  // A digit belongs to one side after the other; the row that is next says so.
  for (const row of document.querySelectorAll("[data-scores-of]")) {
    const side = Number(row.dataset.scoresOf);
    row.classList.toggle("is-next", side === scoring);
    for (const button of row.querySelectorAll("button")) {
      if (button.dataset.half === undefined ? side === scoring : side === scored) button.dataset.key = button.dataset.score ?? ".";
      else delete button.dataset.key;
    }
  }
  $("edit-field").hidden = answer.decision !== "edit";
}

/** The score that stands: the item's, or with a side that of its response. */
const scoreOf = (side) => (side === undefined ? answer.score : answer.scores?.[item.items[side].id]);

function showProgress(progress) {
  allDone = progress.done === progress.total;
  if (!item && waitsForOthers && allDone) finish();
  const minutes = Math.round(progress.seconds_today / 60);
  const parts = [`${progress.done} of ${progress.total}`, `${progress.today} today`];
  if (minutes) parts.push(`${minutes} min`);
  if (progress.streak > 1) parts.push(`${progress.streak} in a row`);
  $("progress").textContent = parts.join(" · ");
}

/** The bar above says how many items wait for the reader: one less with each that leaves the desk, one more with undo. */
function waiting(change) {
  const badge = document.querySelector(".top .badge");
  if (!badge) return;
  const left = Math.max(0, Number(badge.textContent.replace(/\D/g, "")) + change);
  badge.textContent = left.toLocaleString("en-GB");
  badge.hidden = !left;
}

function trouble(text) {
  $("trouble").hidden = !text;
  $("trouble").textContent = text;
}

// ---------------------------------------------------------------- the flow

function lock(on) {
  busy = on;
  $("desk").dataset.busy = on ? "1" : "";
  for (const button of document.querySelectorAll("#bar button, .pane button, .score-key, #look-again")) button.disabled = on;
  for (const name of fields) $(name).readOnly = on;
}

const next = (body) => ask("POST", `queues/${settings.id}/next`, body);

/** Load the one after this, so that it is here when this is answered. Failing is no harm: it is asked for later. */
function loadAhead() {
  const here = item.id;
  ahead = next({ beside: here }).catch(() => null);
}

async function load() {
  lock(true);
  try {
    item = await next({});
    trouble("");
    if (item) show(item);
    else finish();
  } catch (refusal) {
    trouble(refusal.message);
    finish("The queue gives out nothing", refusal.message);
  } finally {
    lock(false);
  }
  ask("GET", `queues/${settings.id}/progress`).then(showProgress, () => {});
}

function show(found) {
  item = found;
  draw();
  loadAhead();
}

const ALL_ANSWERED = "Every item of this queue is answered.";
const NONE_FREE = "What is left is with somebody else right now, or waits for others. Items come back when a lease runs out.";

function finish(title, text) {
  item = null;
  waitsForOthers = text === undefined && !allDone;
  $("item").hidden = $("bar").hidden = true;
  $("done").hidden = false;
  $("done-title").textContent = title ?? "Nothing left for you here";
  $("done-text").textContent = text ?? (allDone ? ALL_ANSWERED : NONE_FREE);
  $("desk").dataset.state = "done";
  delete $("desk").dataset.task;
}

/** On to the item that was loaded ahead, or to whatever the server gives. */
async function goOn() {
  const waiting = ahead;
  ahead = null;
  const found = waiting && (await waiting);
  if (found && found.id !== item?.id) {
    show(found);
    ask("POST", `tasks/${found.id}/seen`).catch(() => {});
    return;
  }
  const fresh = await next({});
  if (fresh) show(fresh);
  else finish();
}

/** A score of one side of a pair. Where both are given and differ, they also say which one is better, until a key does. */
function scoreSide(side, value) {
  if (busy || !item) return;
  const scores = { ...answer.scores, [item.items[side].id]: value };
  const [left, right] = item.items.map((one) => scores[one.id]);
  const undecided = !answer.decision && (answer.preferred === undefined || answer.byScores);
  scored = side;
  scoring = left === undefined ? 0 : right === undefined ? 1 : 1 - side;
  const change = { ...answer, scores };
  if (undecided && left !== undefined && right !== undefined) {
    if (left === right) delete change.preferred;
    else Object.assign(change, { preferred: item.items[left > right ? 0 : 1].id, byScores: true });
  }
  take(change);
}

const half = (score) => {
  const whole = Math.floor(score ?? 0);
  return (score ?? 0) % 1 || whole === 5 ? whole : whole + 0.5;
};

const hasAnswer = () => answer.decision || answer.preferred !== undefined || answer.score !== undefined;

/** Why each response has its score, by its id; null where nothing is said. */
function reasons() {
  if (!withScores) return null;
  const said = item.items.map((response, side) => [String(response.id), $(`why-${side}`).value.trim()]).filter(([, text]) => text);
  return said.length ? Object.fromEntries(said) : null;
}

function body() {
  return {
    decision: answer.decision ?? "",
    preferred: answer.preferred ?? null,
    score: answer.score ?? null,
    ...(answer.scores && { scores: answer.scores }),
    ...(withScores && { reasons: reasons() }),
    text: answer.decision === "edit" ? $("edit").value : "",
    reason: $("reason").value,
  };
}

function keepDraft() {
  if (!item || busy) return;
  const draft = { ...answer };
  if ($("reason").value) draft.reason = $("reason").value;
  if ($("edit").value) draft.text = $("edit").value;
  if (reasons()) draft.reasons = reasons();
  drafts.keep(item.id, draft);
}

/** Show what the answer would change and, in a blind queue, what the judge said: the first answer is kept with it. */
async function reveal() {
  const mine = (asked += 1);
  const here = item.id;
  if (answer.decision === "edit" && !$("edit").value.trim()) return;
  const soFar = body();
  // One score of two is on its way to both: the server takes both or neither.
  if (soFar.scores && item.items.some((one) => soFar.scores[one.id] === undefined)) delete soFar.scores;
  if (!soFar.scores) delete soFar.reasons;
  try {
    const found = await ask("POST", `tasks/${here}/reveal`, soFar);
    if (mine !== asked || item?.id !== here) return;
    if (found.judge) showJudge(found.judge, item, kind);
    showPreview(found.preview);
  } catch (refusal) {
    if (mine === asked && refusal.status) trouble(refusal.message);
  }
}

/** A choice; the scores of both responses stay beside it. */
function choose(change) {
  if (busy || !item) return;
  take(answer.scores ? { ...change, scores: answer.scores } : change);
}

function take(change) {
  answer = change;
  trouble("");
  paint();
  keepDraft();
  if (hasAnswer()) reveal();
}

async function save() {
  if (busy || !item) return;
  if (!hasAnswer()) {
    if (kind === "pair" && !item.blind) answer = { decision: "confirm" };
    else return toast(kind === "score" ? "Give a score first: 0 to 5" : "Choose first: A, B, T or X");
  }
  const here = item;
  lock(true);
  try {
    const saved = await ask("POST", `tasks/${here.id}/submit`, body());
    waiting(-1);
    await drafts.drop(here.id);
    trouble("");
    showProgress(saved.progress);
    await goOn();
  } catch (refusal) {
    if (refusal.code === "lease-lost") {
      await drafts.drop(here.id);
      toast(refusal.message, "bad");
      await goOn().catch((problem) => trouble(problem.message));
    } else if (refusal.status === 0)
      trouble("The server does not answer. Your answer is kept here: press Enter to try again.");
    else trouble(refusal.message);
  } finally {
    lock(false);
  }
}

async function skip() {
  if (busy || !item) return;
  const here = item;
  lock(true);
  try {
    const saved = await ask("POST", `tasks/${here.id}/skip`, { reason: $("reason").value });
    waiting(-1);
    await drafts.drop(here.id);
    showProgress(saved.progress);
    await goOn();
  } catch (refusal) {
    trouble(refusal.message);
  } finally {
    lock(false);
  }
}

async function undo() {
  if (busy) return;
  lock(true);
  try {
    const before = item;
    if (before) await drafts.flush();
    const found = await ask("POST", `queues/${settings.id}/undo`);
    if (!found) {
      toast("Taken back. Somebody else has that item now.");
      return;
    }
    waiting(1);
    item = found;
    draw();
    showProgress(found.progress);
    // What stood here comes next again; its draft is kept.
    if (before) ahead = next({ beside: found.id }).catch(() => null);
    toast("Taken back");
  } catch (refusal) {
    if (refusal.code === "nothing-to-undo") toast(refusal.message);
    else trouble(refusal.message);
  } finally {
    lock(false);
  }
}

async function differences() {
  if (!item) return;
  if (marked) return drawResponses();
  const here = item.id;
  try {
    const found = await ask("GET", `tasks/${here}/differences`);
    if (item?.id !== here) return;
    found.items.forEach((segments, side) => {
      const text = line("div", "text", "");
      for (const [run, differs] of segments) text.append(differs ? line("mark", "", run) : run);
      $(`response-${side}`).replaceChildren(text);
    });
    marked = true;
    $("differences").setAttribute("aria-pressed", "true");
  } catch (refusal) {
    trouble(refusal.message);
  }
}

function edit() {
  const picked = item.items.find((response) => response.id === answer.preferred);
  const chosen = item.items.find((response) => response.id === item.judge?.chosen);
  const from = picked ?? chosen;
  if (!from) return toast("Choose the better one first: A or B");
  if (!$("edit").value) $("edit").value = from.text;
  answer = { ...(answer.scores && { scores: answer.scores }), decision: "edit", preferred: from.id };
  paint();
  keepDraft();
  $("edit").focus();
}

/** Scroll every response that is longer than its pane, together; false where there is none. */
function scrollPanes(pages) {
  const long = [...document.querySelectorAll(".pane .rendered")].filter((pane) => pane.scrollHeight > pane.clientHeight + 1);
  for (const pane of long) pane.scrollBy(0, Math.abs(pages) < 1 ? 480 * pages : pages * 0.85 * pane.clientHeight);
  return long.length > 0;
}
const SCROLLS = { ArrowDown: 0.125, ArrowUp: -0.125, PageDown: 1, PageUp: -1 };

// ---------------------------------------------------------------- buttons, keys, leases

item = null;
[0, 1].forEach((side) => $(`choose-${side}`)?.addEventListener("click", () => choose({ preferred: item.items[side].id })));
for (const button of document.querySelectorAll("[data-decision]"))
  button.addEventListener("click", () =>
    button.dataset.decision === "edit" ? edit() : choose({ decision: button.dataset.decision }),
  );
for (const button of document.querySelectorAll("[data-score]")) {
  const { side, score } = button.dataset;
  button.addEventListener("click", () =>
    side === undefined ? choose({ score: Number(score) }) : scoreSide(Number(side), Number(score)),
  );
}
for (const button of document.querySelectorAll("[data-half]")) {
  const { side } = button.dataset;
  button.addEventListener("click", () =>
    side === undefined ? choose({ score: half(answer.score) }) : scoreSide(Number(side), half(scoreOf(side))),
  );
}
$("flip")?.addEventListener("click", () => choose({ decision: "flip" }));
$("save").addEventListener("click", save);
$("skip").addEventListener("click", skip);
for (const name of ["undo", "undo-last"]) $(name).addEventListener("click", undo);
$("differences")?.addEventListener("click", differences);
$("look-again").addEventListener("click", load);
$("show-guidelines").addEventListener("click", () => $("guidelines").showModal());
$("show-keys").addEventListener("click", () => $("keys").showModal());
for (const name of fields) $(name).addEventListener("input", keepDraft);
$("edit").addEventListener("change", () => hasAnswer() && reveal());

document.addEventListener(
  "keydown",
  (event) => {
    activeAt = Date.now();
    // Held down, a key acts once; while a save is in flight or a dialog is open, the desk's keys do not act at all.
    const open = document.querySelector("dialog[open]");
    const inField = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (!open && !inField && event.key in SCROLLS && !event.target.closest(".rendered")) {
      if (scrollPanes(SCROLLS[event.key])) event.preventDefault();
      return;
    }
    if (open || ((busy || event.repeat) && !inField)) {
      if (!open || event.key !== "Escape") event.stopPropagation();
      if (open && event.key !== "Escape" && event.key !== "Tab" && event.key !== "Enter") event.preventDefault();
      return;
    }
    if (event.key !== "Enter" || event.isComposing) return;
    const withControl = event.ctrlKey || event.metaKey;
    // On a focused link, fold or button Enter does what it does everywhere; a dialog's button keeps the focus for a
    // moment after the dialog has closed.
    if (inField ? !withControl : event.target.closest("a, summary, button")?.checkVisibility()) return;
    event.preventDefault();
    event.stopPropagation();
    save();
  },
  true,
);
for (const name of ["pointerdown", "scroll"]) addEventListener(name, () => (activeAt = Date.now()), { passive: true });

// A lease is renewed while somebody is at work; left alone, the item goes back to the others.
setInterval(() => {
  if (item && Date.now() - activeAt < settings.lease_seconds * 1000)
    ask("POST", `queues/${settings.id}/renew`).catch(() => {});
}, (settings.lease_seconds * 1000) / 3);

addEventListener("pagehide", () => {
  drafts.flush({ keepalive: true });
  const here = item?.id;
  ahead?.then((found) => {
    if (found && found.id !== here) ask("POST", `tasks/${found.id}/release`, undefined, { keepalive: true }).catch(() => {});
  });
});
addEventListener("online", () => trouble(""));
addEventListener("offline", () => trouble("No connection. What you type is kept on this device."));

load();
