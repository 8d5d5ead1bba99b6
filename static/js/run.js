// The run page: rendered by the server, then updated by events.

import { Curves } from "./charts.js";
import { byId, first, readJson, setText, targetOf } from "./dom.js";
import { condense } from "./run-events.js";
import { addToLog, stampLog } from "./run-log.js";
import { showMachine } from "./run-machine.js";
import { partRefresher } from "./run-parts.js";
import { follow } from "./run-socket.js";
import { countText, donePercent, isOverlapping, noteText, trafficText } from "./stage-text.js";
import { toast } from "./toast.js";

/**
 * @typedef {import("./run-events.js").RunEvent} RunEvent
 * @typedef {import("./stage-text.js").StageEvent} StageEvent
 */

const root = byId("run");
const curves = new Curves(byId("charts"), byId("curve-switch"), readJson("chart-data"));
let isFollowing = true; // whether new samples replace the current one

const refresh = partRefresher(root.dataset.run, {
  onCurves: (fresh) => curves.load(fresh),
  onNotes: (fresh) => curves.annotate(fresh),
  onSwap: (part, fresh) => {
    if (part === "sample") showFollowing();
    if (part === "head") root.dataset.status = fresh.dataset.status;
  },
});

// ------------------------------------------------------------------ stages

/** CSS class of a stage by status. @type {Record<string, string>} */
const LOOKS = { done: "done", running: "now", queued: "next", waiting: "ask", pending: "wait", stopped: "ask" };

/**
 * The page parts to reload for this stage, without the sample unless it follows.
 *
 * @param {HTMLElement | null} item
 */
function partsOf(item) {
  const parts = (item?.dataset.refreshes ?? "").split(" ");
  return parts.filter((part) => part && (part !== "sample" || isFollowing));
}

/** @param {StageEvent} stage */
function onStage(stage) {
  const item = first(`[data-stage="${stage.stage}"]`);
  if (!item || item.dataset.status !== stage.status) onStatus(stage, item);
  else if (stage.status === "running" || isOverlapping(stage)) onProgress(stage, item);
}

/** @param {StageEvent} stage @param {HTMLElement | null} item */
function onStatus(stage, item) {
  if (item) {
    item.dataset.status = stage.status;
    item.className = `stage ${LOOKS[stage.status] ?? "wait"}`;
  }
  refresh("loop", 250);
  refresh("head", 250);
  for (const part of partsOf(item)) refresh(part, 500);
  refresh("figures", 400);
  refresh("health", 500);
  refresh("costs", 400);
}

/** @param {StageEvent} stage @param {HTMLElement} item */
function onProgress(stage, item) {
  if (stage.progress?.health) refresh("health", 3000);
  if (!byId("costs").hidden) refresh("costs", 1500);
  for (const part of partsOf(item)) refresh(part, 1500);
  first(".pie", item)?.setAttribute("stroke-dasharray", `${donePercent(stage).toFixed(1)} 200`);
  const write = (/** @type {string} */ name, /** @type {string} */ text) => {
    const element = first(`[data-${name}]`, item);
    if (element) setText(element, text);
  };
  write("count", countText(stage));
  write("note", noteText(stage));
  write("traffic", trafficText(stage));
  if (stage.done && "samples" in item.dataset && !first("a", item)) refresh("loop", 1000); // adds the link to its rows
  refresh("head", 5000); // updates the remaining time
}

// ------------------------------------------------------------------ the latest sample

function showFollowing() {
  byId("follow").setAttribute("aria-pressed", String(isFollowing));
}

root.addEventListener("click", (event) => {
  if (!targetOf(event).closest("#follow")) return;
  isFollowing = !isFollowing;
  showFollowing();
  if (isFollowing) refresh("sample", 0);
});
// Opening a raw reply stops following.
root.addEventListener(
  "toggle",
  (event) => {
    const details = /** @type {HTMLDetailsElement} */ (event.target);
    if (details.open && details.matches("#sample details") && isFollowing) {
      isFollowing = false;
      showFollowing();
    }
  },
  true,
);

// ------------------------------------------------------------------ events

/** @param {RunEvent} event */
function onEvent(event) {
  const { kind, payload } = event;
  if (kind === "metrics") {
    if (curves.add(payload)) refresh("curves", 2000);
    else refresh("notes", 5000);
  } else if (kind === "sample") {
    if (isFollowing) refresh("sample", 1200);
  } else if (kind === "log") addToLog(event);
  else if (kind === "run") {
    addToLog(event);
    refresh("head", 200);
    refresh("loop", 300);
    if (payload.status === "finished") {
      refresh("figures", 300);
      toast("Run finished");
    }
  }
}

/** @param {RunEvent[]} events */
function onEvents(events) {
  const { stages, machine, others } = condense(events);
  for (const event of others) onEvent(event);
  for (const stage of stages) onStage(stage);
  showMachine(machine);
  root.dataset.seq = String(events[events.length - 1].seq);
}

const LINKS = { live: "", polling: "polling every 2 s", reconnecting: "reconnecting", ended: "" };

stampLog();
curves.load(readJson("curve-data"));
showMachine(readJson("machine-data"));
follow(root.dataset.run ?? "", Number(root.dataset.seq), onEvents, (state, reason) =>
  setText(byId("link-state"), reason || LINKS[state]),
);
