// The log of a run, newest line first, with local times. It does not move while the user has scrolled down.

import { all, byId, first, make } from "./dom.js";

/** @typedef {import("./run-events.js").RunEvent} RunEvent */

const MOST_LINES = 400;
const READING_BELOW_PX = 8; // scroll offset from which the log must not move
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** @param {ParentNode} line */
function stamp(line) {
  const time = /** @type {HTMLTimeElement | null} */ (first("time", line));
  if (time) time.textContent = clock.format(new Date(time.dateTime));
}

/**
 * Create the line of a log event or of a status change.
 *
 * @param {RunEvent} event
 */
function makeLine({ seq, kind, payload, at }) {
  const line = make("li", payload.level ?? kind);
  line.dataset.seq = String(seq);
  const time = make("time");
  time.dateTime = at;
  time.dataset.seconds = "";
  const text = make("span");
  if (kind === "run")
    text.append(make("b", "", payload.label ?? payload.status), payload.reason ? `: ${payload.reason}` : "");
  else text.textContent = payload.text;
  line.append(time, text);
  stamp(line);
  return line;
}

/** Format the times of server-rendered lines. */
export function stampLog() {
  for (const line of all("li", byId("log"))) stamp(line);
}

/** @param {RunEvent} event */
export function addToLog(event) {
  const log = byId("log");
  first(".none", log)?.remove();
  const isReading = log.scrollTop > READING_BELOW_PX;
  const before = log.scrollHeight;
  log.prepend(makeLine(event));
  if (isReading) log.scrollTop += log.scrollHeight - before;
  while (log.children.length > MOST_LINES) log.lastElementChild?.remove();
}
