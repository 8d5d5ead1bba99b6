// Follows the events of one run: each once and in order, over cut connections and without sockets where it must.

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10000;
const POLL_MS = 2000;
const POLL_AFTER = 4; // sockets in a row that brought nothing: from then on plain HTTP besides
const QUIET_MS = 45000; // a socket silent for so long may be dead without having been closed: look without it
// Codes with which the server says that trying again is of no use.
const FINAL_CODES = {
  4401: "Your session has ended. Log in again.",
  4403: "Your role may not read runs.",
  4404: "This run no longer exists.",
};

/**
 * Follow a run from its event `lastSeq`.
 *
 * @param {number|string} runId
 * @param {number} lastSeq the seq of the last event that the page shows
 * @param {(events: {seq: number, kind: string, payload: object, at: string}[]) => void} onEvents
 *   called with new events in order; none comes twice
 * @param {(state: "live"|"polling"|"reconnecting"|"ended", reason: string) => void} [onState]
 *   called when the connection changes; "ended" is final
 * @returns {{stop: () => void, seq: () => number}}
 */
export function follow(runId, lastSeq, onEvents, onState = () => {}) {
  let cursor = Number(lastSeq) || 0;
  let socket = null;
  let failures = 0;
  let stopped = false;
  let state = "";
  let retryTimer = 0;
  let quietTimer = 0;
  let pollTimer = 0;
  let rereading = false;

  function say(next, reason = "") {
    if (next === state) return;
    state = next;
    onState(next, reason);
  }

  /** Hand on what is new. */
  function take(events) {
    const fresh = events.filter((event) => event.seq > cursor);
    if (!fresh.length) return;
    cursor = fresh[fresh.length - 1].seq;
    onEvents(fresh);
  }

  function hasGap(events) {
    const first = events.find((event) => event.seq > cursor);
    return first !== undefined && first.seq !== cursor + 1;
  }

  /** Read from the table what a frame left out; then let the socket go on from there. */
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

  /** Silence is usual when nothing happens; a socket that did not bring what there is has died unnoticed. */
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
      // Only a frame shows that the socket carries (the server answers each cursor with one, an empty one if need be):
      // a refusal is an open followed by a close.
      failures = 0;
      stopPolling();
      say("live");
      heard();
      if (rereading) return;
      const { events } = JSON.parse(message.data);
      if (hasGap(events)) reread();
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
      const wait = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS);
      // Spread, so that all the pages of a server that comes back do not come at once.
      retryTimer = setTimeout(open, wait * (0.5 + Math.random()));
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
    pollTimer = 0;
  }

  async function poll() {
    try {
      for (;;) {
        const answer = await fetch(`/runs/${runId}/events/?after=${cursor}`, { headers: { Accept: "application/json" } });
        if (stopped) return;
        if (answer.redirected) return end(FINAL_CODES[4401]);
        if (answer.status === 403) return end(FINAL_CODES[4403]);
        if (answer.status === 404) return end(FINAL_CODES[4404]);
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
