// Order of run events: new events, gaps, and the events that must be drawn. No access to the DOM.

/** @typedef {{seq: number, kind: string, payload: any, at: string}} RunEvent */

/**
 * The events after the cursor.
 *
 * @param {RunEvent[]} events in order
 * @param {number} cursor seq of the last event on the page
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
 * The delay before the next connection, with jitter so that clients of a restarted server do not connect together.
 *
 * @param {number} failures consecutive connections without a message, at least 1
 * @param {number} random 0 to 1
 * @returns {number} milliseconds
 */
export function retryDelay(failures, random) {
  return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS) * (0.5 + random);
}

/**
 * Reduce many events to the newest state of each stage and of the machine.
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
