// The run page: drawn by the server from the record, then kept up by the events that come after.

import { Curves } from "./charts.js";
import { localTimes, toast } from "./app.js";
import { follow } from "./run-socket.js";

const root = document.getElementById("run");
const runId = root.dataset.run;
const at = (id) => document.getElementById(id);
const read = (id) => JSON.parse(at(id).textContent);

// ------------------------------------------------------------------ words

const count = (value) => Number(value).toLocaleString("en-GB");

function speed(rate) {
  if (!rate || rate <= 0) return "";
  if (rate >= 10) return `${count(Math.round(rate))}/s`;
  if (rate >= 0.5) return `${rate.toFixed(1)}/s`;
  return `${(rate * 60).toFixed(1)}/min`.replace(".0/", "/");
}

function traffic(stage) {
  const { tokens_per_second: tokens, in_flight: flying } = stage.progress ?? {};
  if (tokens === undefined || tokens === null || stage.done >= stage.total) return "";
  const told = [`${count(stage.total - stage.done)}\u00a0to\u00a0go`];
  if (flying) told.push(`${count(flying)}\u00a0in\u00a0flight`);
  if (tokens >= 1) told.push(`${count(Math.round(tokens))}\u00a0tokens/s`);
  return told.join(", ");
}

function left(seconds) {
  if (seconds === null || seconds === undefined || seconds < 0) return "";
  if (seconds < 8) return "a few seconds left";
  if (seconds < 55) return `${Math.ceil(seconds / 5) * 5}\u00a0s left`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)}\u00a0min left`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1).replace(".0", "")}\u00a0h left`;
  return `${Math.round(seconds / 86400)}\u00a0days left`;
}

function size(bytes) {
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (value < 1000 || unit === "TB") return `${unit === "B" || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)}\u00a0${unit}`;
    value /= 1000;
  }
  return "";
}

// ------------------------------------------------------------------ parts that the server draws again

const pending = new Map(); // part → {timer, due}
const busy = new Set();

/** Draw a part anew within `pause` ms. Calls that come meanwhile are one; a more urgent one brings it forward. */
function refresh(part, pause) {
  const due = performance.now() + pause;
  const waiting = pending.get(part);
  if (waiting) {
    if (waiting.due <= due) return;
    clearTimeout(waiting.timer);
  }
  pending.set(part, { due, timer: setTimeout(() => fetchPart(part), pause) });
}

async function fetchPart(part) {
  pending.delete(part);
  if (busy.has(part) || isHeldOpen(part)) {
    refresh(part, 1000);
    return;
  }
  busy.add(part);
  try {
    const answer = await fetch(`/runs/${runId}/part/${part}/`, { headers: { "HX-Request": "true" } });
    if (!answer.ok || answer.redirected) return;
    if (part === "curves") curves.load((await answer.json()).curves);
    else if (part === "notes") curves.annotate((await answer.json()).curves);
    else swap(part, await answer.text());
  } catch {
    // The socket says that the server is away; the next event asks again.
  } finally {
    busy.delete(part);
  }
}

/** A part with an open question or menu in it is not taken away from under the reader's hands. */
function isHeldOpen(part) {
  const element = at(part);
  return (part === "head" || part === "costs") && Boolean(element?.querySelector("details[open]"));
}

function swap(part, html) {
  const old = at(part);
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.firstElementChild;
  const focused = old.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  // The live region stays the same element, so that screen readers hear only a state that changed.
  if (part === "head") {
    const said = old.querySelector("#state");
    const next = fresh.querySelector("#state");
    if (said.innerHTML.trim() === next.innerHTML.trim()) next.replaceWith(said);
  }
  old.replaceWith(fresh);
  window.htmx?.process(fresh);
  localTimes(fresh);
  if (focused) fresh.querySelector(`[data-key="${focused}"]`)?.focus();
  if (part === "sample") showFollow();
  if (part === "head") root.dataset.status = fresh.dataset.status;
}

// ------------------------------------------------------------------ stages

const LOOKS = { done: "done", running: "now", queued: "next", waiting: "ask", pending: "wait", stopped: "ask" };

function onStage(stage) {
  const item = document.querySelector(`[data-stage="${stage.stage}"]`);
  const parts = (item?.dataset.refreshes ?? "").split(" ").filter((part) => part && (part !== "sample" || following));
  if (!item || item.dataset.status !== stage.status) {
    if (item) {
      item.dataset.status = stage.status;
      item.className = `st ${LOOKS[stage.status] ?? "wait"}`;
    }
    refresh("loop", 250);
    refresh("head", 250);
    for (const part of parts) refresh(part, 500);
    refresh("figures", 400);
    refresh("health", 500);
    refresh("costs", 400);
    return;
  }
  const isAhead = stage.status === "pending" && stage.total > 0; // a remote teacher works on it before its turn
  if (stage.status !== "running" && !isAhead) return;
  if (stage.progress?.health) refresh("health", 3000);
  if (!at("costs").hidden) refresh("costs", 1500);
  for (const part of parts) refresh(part, 1500);
  const share = stage.total ? Math.min(100, (100 * stage.done) / stage.total) : 0;
  item.querySelector(".pie").setAttribute("stroke-dasharray", `${share.toFixed(1)} 200`);
  setText(item.querySelector("[data-count]"), stage.total ? `${count(stage.done)} of ${count(stage.total)}` : count(stage.done));
  const pace = speed(stage.rate);
  const note = isAhead ? [pace && "meanwhile", pace] : [pace, left(stage.seconds_left)];
  setText(item.querySelector("[data-note]"), note.filter(Boolean).join(", "));
  setText(item.querySelector("[data-traffic]"), isAhead && !pace ? "" : traffic(stage));
  if (stage.done && "samples" in item.dataset && !item.querySelector("a")) refresh("loop", 1000); // with a link to them
  refresh("head", 5000); // the time left of the whole run
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// ------------------------------------------------------------------ log

const log = at("log");
const logClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const LOG_LINES = 400;

function stampLog(item) {
  const time = item.querySelector("time");
  if (time) time.textContent = logClock.format(new Date(time.dateTime));
}

function onLog({ seq, kind, payload, at: when }) {
  log.querySelector(".none")?.remove();
  const item = document.createElement("li");
  item.className = payload.level ?? kind;
  item.dataset.seq = seq;
  const time = document.createElement("time");
  time.dateTime = when;
  time.dataset.seconds = "";
  const text = document.createElement("span");
  if (kind === "run") {
    const label = document.createElement("b");
    label.textContent = payload.label ?? payload.status;
    text.append(label, payload.reason ? `: ${payload.reason}` : "");
  } else text.textContent = payload.text;
  item.append(time, text);
  stampLog(item);
  const reading = log.scrollTop > 8;
  const before = log.scrollHeight;
  log.prepend(item);
  if (reading) log.scrollTop += log.scrollHeight - before; // the line being read stays where it is
  while (log.children.length > LOG_LINES) log.lastElementChild.remove();
}
for (const item of log.children) stampLog(item);

// ------------------------------------------------------------------ gauges

const gauges = at("gauges");

function setBar(bar, share) {
  bar.firstElementChild.setAttribute("width", Math.max(0, Math.min(100, 100 * share)).toFixed(1));
}

function onGauge(gauge) {
  if (!gauge) return;
  gauges.dataset.none = "";
  const [cpu, memory] = gauges.querySelectorAll(".bar");
  const set = (name, text) => setText(gauges.querySelector(`[data-gauge="${name}"]`), text);
  if (gauge.cpu !== undefined) {
    setBar(cpu, gauge.cpu / 100);
    set("cpu", `${Math.round(gauge.cpu)}\u00a0%`);
  }
  if (gauge.memory !== undefined) {
    setBar(memory, gauge.memory / gauge.memory_total);
    set("memory", `${size(gauge.memory)} of ${size(gauge.memory_total)}`);
  }
  if (gauge.disk_free !== undefined) set("disk", `${size(gauge.disk_free)} free`);
  (gauge.gpus ?? []).forEach((gpu, place) => {
    let value = gauges.querySelector(`[data-gauge="gpu${place}"]`);
    if (!value) {
      const name = document.createElement("dt");
      name.textContent = gpu.name;
      const holder = document.createElement("dd");
      holder.append(cpu.cloneNode(true));
      value = document.createElement("dd");
      value.dataset.gauge = `gpu${place}`;
      gauges.append(name, holder, value);
    }
    setBar(value.previousElementSibling.firstElementChild, gpu.memory / gpu.memory_total);
    const use = gpu.utilisation === null || gpu.utilisation === undefined ? "" : `, ${Math.round(gpu.utilisation)}\u00a0%`;
    setText(value, `${size(gpu.memory)} of ${size(gpu.memory_total)}${use}`);
  });
}

// ------------------------------------------------------------------ the latest sample

let following = true;

function showFollow() {
  const button = at("follow");
  button.setAttribute("aria-pressed", String(following));
}
root.addEventListener("click", (event) => {
  if (!event.target.closest("#follow")) return;
  following = !following;
  showFollow();
  if (following) refresh("sample", 0);
});
// Whoever opens a raw reply is reading: the sample stays until they follow again.
root.addEventListener(
  "toggle",
  (event) => {
    if (event.target.open && event.target.matches("#sample details") && following) {
      following = false;
      showFollow();
    }
  },
  true,
);

// ------------------------------------------------------------------ all together

const curves = new Curves(at("charts"), at("curve-switch"));

function start() {
  curves.load(read("curve-data"));
  onGauge(read("gauge-data"));
  follow(runId, Number(root.dataset.seq), onEvents, onLink);
}

function onEvents(events) {
  // Of many events that came together only the newest of each stage and gauge has to be drawn.
  const stages = new Map();
  let gauge = null;
  for (const event of events) {
    const { kind, payload } = event;
    if (kind === "stage") stages.set(payload.stage, payload);
    else if (kind === "gauge") gauge = payload;
    else if (kind === "metrics") {
      if (curves.add(payload)) refresh("curves", 2000);
      else refresh("notes", 5000);
    } else if (kind === "sample") {
      if (following) refresh("sample", 1200);
    } else if (kind === "log") onLog(event);
    else if (kind === "run") {
      onLog(event);
      refresh("head", 200);
      refresh("loop", 300);
      if (payload.status === "finished") {
        refresh("figures", 300);
        toast("The run is finished");
      }
    }
  }
  for (const stage of stages.values()) onStage(stage);
  if (gauge) onGauge(gauge);
  root.dataset.seq = events[events.length - 1].seq;
}

const LINKS = { live: "", polling: "asking every 2 s", reconnecting: "reconnecting", ended: "" };

function onLink(state, reason) {
  setText(at("link-state"), reason || (LINKS[state] ?? ""));
}

start();
