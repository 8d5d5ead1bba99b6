// Follows the events of a run, each once and in order: reconnects, and polls if WebSockets fail.

import { hasGap, retryDelay, unseen } from "./run-events.js";

const POLL_MS = 2000;
const POLL_AFTER = 4; // consecutive failed sockets before HTTP polling starts
const QUIET_MS = 45000; // after this silence, check by HTTP whether the socket is dead
/** Close codes that must not be retried, with their messages. @type {Record<number, string>} */
const FINAL_CODES = {
  4401: "Your session has ended. Log in again.",
  4403: "Your role may not read runs.",
  4404: "This run no longer exists.",
};

/**
 * @typedef {import("./run-events.js").RunEvent} RunEvent
 * @typedef {"live" | "polling" | "reconnecting" | "ended"} LinkState
 * @typedef {ReturnType<typeof setTimeout> | undefined} Timer
 */

/**
 * Follow a run from event `lastSeq` on.
 *
 * @param {number|string} runId
 * @param {number} lastSeq seq of the last event on the page
 * @param {(events: RunEvent[]) => void} onEvents
 * called with new events in order, each once
 * @param {(state: LinkState, reason: string) => void} [onState]
 *   called when the connection changes; "ended" is final
 * @returns {{stop: () => void, seq: () => number}}
 */
export function follow(runId, lastSeq, onEvents, onState = () => {}) {
  let cursor = Number(lastSeq) || 0;
  /** @type {WebSocket | null} */
  let socket = null;
  let failures = 0;
  let stopped = false;
  /** @type {LinkState | ""} */
  let state = "";
  /** @type {Timer} */
  let retryTimer;
  /** @type {Timer} */
  let quietTimer;
  /** @type {Timer} */
  let pollTimer;
  let rereading = false;

  /** @param {LinkState} next */
  function say(next, reason = "") {
    if (next === state) return;
    state = next;
    onState(next, reason);
  }

  /** Pass new events to the page. @param {RunEvent[]} events */
  function take(events) {
    const fresh = unseen(events, cursor);
    if (!fresh.length) return;
    cursor = fresh[fresh.length - 1].seq;
    onEvents(fresh);
  }

  /** Load missing events by HTTP, then continue with the socket. */
  async function reread() {
    rereading = true;
    await poll();
    rereading = false;
    ask();
  }

  function ask() {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ cursor }));
  }

  function heard() {
    clearTimeout(quietTimer);
    quietTimer = setTimeout(probe, QUIET_MS);
  }

  /** Check a silent socket: if HTTP returns new events, the socket is dead. */
  async function probe() {
    const before = cursor;
    await poll();
    if (cursor !== before && socket) socket.close();
    else if (!stopped) heard();
  }

  function open() {
    if (stopped) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const current = new WebSocket(`${scheme}://${location.host}/ws/runs/${runId}/`);
    socket = current;
    current.onopen = () => {
      ask();
      heard();
    };
    current.onmessage = (message) => {
      if (current !== socket) return;
      // Only a message shows that the socket works (the server answers each cursor with one, which may be empty):
      // a rejected socket opens too, and is closed at once.
      failures = 0;
      stopPolling();
      say("live");
      heard();
      if (rereading) return;
      const { events } = JSON.parse(message.data);
      if (hasGap(events, cursor)) reread();
      else take(events);
    };
    current.onclose = (closed) => {
      if (current !== socket || stopped) return;
      socket = null;
      clearTimeout(quietTimer);
      if (FINAL_CODES[closed.code]) {
        end(FINAL_CODES[closed.code]);
        return;
      }
      failures += 1;
      if (failures >= POLL_AFTER) startPolling();
      else say("reconnecting");
      retryTimer = setTimeout(open, retryDelay(failures, Math.random()));
    };
  }

  function startPolling() {
    if (pollTimer || stopped) return;
    const tick = async () => {
      await poll();
      if (pollTimer && !stopped) pollTimer = setTimeout(tick, POLL_MS);
    };
    pollTimer = setTimeout(tick, 0);
  }

  function stopPolling() {
    clearTimeout(pollTimer);
    pollTimer = undefined;
  }

  async function poll() {
    try {
      for (;;) {
        const answer = await fetch(`/runs/${runId}/events/?after=${cursor}`, {
          headers: { Accept: "application/json" },
        });
        if (stopped) return;
        const code = answer.redirected ? 4401 : 4000 + answer.status;
        if (FINAL_CODES[code]) return end(FINAL_CODES[code]);
        if (!answer.ok) return say("reconnecting");
        const { events } = await answer.json();
        if (pollTimer) say("polling");
        if (!events.length) return;
        const before = cursor;
        take(events);
        if (cursor === before) return;
      }
    } catch {
      say("reconnecting");
    }
  }

  /** @param {string} reason */
  function end(reason) {
    stop();
    say("ended", reason);
  }

  function stop() {
    stopped = true;
    clearTimeout(retryTimer);
    clearTimeout(quietTimer);
    stopPolling();
    if (socket) socket.close();
    socket = null;
  }

  open();
  return { stop, seq: () => cursor };
}
