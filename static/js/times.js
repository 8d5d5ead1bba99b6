// Converts times to the local time zone and updates texts such as "5 min ago".

import { ago } from "./format.js";

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

/**
 * Convert the times of a part of the page to local time. The log formats its own, with seconds.
 *
 * @param {ParentNode} [root]
 */
export function localTimes(root = document) {
  /** @type {NodeListOf<HTMLTimeElement>} */
  const items = root.querySelectorAll("time[datetime]:not([data-seconds])");
  for (const item of items) {
    const then = new Date(item.dateTime);
    const isToday = then.toDateString() === new Date().toDateString();
    const text =
      "ago" in item.dataset ? ago((Date.now() - then.getTime()) / 1000) : (isToday ? clock : dayClock).format(then);
    if (item.textContent !== text) item.textContent = text;
    if (!item.title) item.title = then.toLocaleString("en-GB");
  }
}

/** Update all times of the page regularly. */
export function keepTimes() {
  localTimes();
  setInterval(localTimes, 10000);
  document.addEventListener("htmx:afterSettle", (event) => localTimes(event.detail.elt.parentElement ?? document));
}
