// Orders the events of a run: which of them are new, whether some are missing, which of many have to be drawn.

/** @typedef {{seq: number, kind: string, payload: any, at: string}} RunEvent */

/**
 * The events after the cursor.
 *
 * @param {RunEvent[]} events in order
 * @param {number} cursor the seq of the last event that the page shows
 */
export const unseen = (events, cursor) => events.filter((event) => event.seq > cursor);

/**
 * Whether events between the cursor and the first new one are missing.
 *
 * @param {RunEvent[]} events in order
 * @param {number} cursor
 */
export function hasGap(events, cursor) {
  const next = unseen(events, cursor)[0];
  return next !== undefined && next.seq !== cursor + 1;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10000;

/**
 * How long to wait before the next connection. Spread, so that the pages of a restarted server do not connect together.
 *
 * @param {number} failures connections in a row that brought nothing, at least 1
 * @param {number} random 0 to 1
 * @returns {number} milliseconds
 */
export function retryDelay(failures, random) {
  return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS) * (0.5 + random);
}

/**
 * Of many events that came together, only the newest state of each stage and of the machine has to be drawn.
 *
 * @param {RunEvent[]} events in order
 * @returns {{stages: any[], machine: any, others: RunEvent[]}} payloads of stages and machine; all other events in order
 */
export function condense(events) {
  const stages = new Map();
  let machine = null;
  const others = [];
  for (const event of events) {
    if (event.kind === "stage") stages.set(event.payload.stage, event.payload);
    else if (event.kind === "gauge") machine = event.payload;
    else others.push(event);
  }
  return { stages: [...stages.values()], machine, others };
}
