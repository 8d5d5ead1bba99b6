// What the desk keeps: requests to the API, and drafts on this device and on the server.

/** An answer of the API that is a refusal. `code` as in the API; status 0: there was no answer at all. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const token = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];

/** Ask the API. Resolves with the body, or null where there is none (204); throws a Refusal. */
export async function ask(method, path, body, { keepalive = false } = {}) {
  let reply;
  try {
    reply = await fetch(`/api/v1/${path}`, {
      method,
      keepalive,
      headers: { "Content-Type": "application/json", "X-CSRFToken": token(), Accept: "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refusal(0, "no-answer", "The server does not answer.");
  }
  if (reply.status === 204) return null;
  let found = null;
  try {
    found = await reply.json();
  } catch {
    throw new Refusal(reply.status, "no-json", `The server answered ${reply.status}. Try again.`);
  }
  if (reply.ok) return found;
  throw new Refusal(reply.status, found.error?.code ?? "error", found.error?.message ?? `The server answered ${reply.status}.`);
}

const SAVE_AFTER = 600; // ms without a key stroke
const TRY_AGAIN = 3000; // ms after a draft that did not arrive

/** Drafts of one person: on this device at once, on the server shortly after, and again until it is there. */
export class Drafts {
  constructor(person, tell) {
    this.person = person;
    this.tell = tell;
    this.timer = 0;
    this.running = null;
    addEventListener("online", () => this.flush());
  }

  key(task) {
    return `plumbline.draft.${this.person}.${task}`;
  }

  /** The newer of what this device and what the server holds. */
  newest(item) {
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(this.key(item.id)));
    } catch {
      kept = null;
    }
    const onServer = item.draft_saved_at ? Date.parse(item.draft_saved_at) : 0;
    if (kept && (!item.draft || kept.at > onServer)) return kept.draft;
    return item.draft;
  }

  keep(task, draft) {
    this.pending = { task, draft };
    try {
      localStorage.setItem(this.key(task), JSON.stringify({ draft, at: Date.now() }));
    } catch {
      // A full or forbidden store: the server's copy remains.
    }
    this.tell("typing");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), SAVE_AFTER);
  }

  async flush({ keepalive = false } = {}) {
    clearTimeout(this.timer);
    const { pending } = this;
    if (!pending) return;
    if (this.running && !keepalive) await this.running;
    if (this.pending !== pending) return;
    this.running = ask("POST", `tasks/${pending.task}/draft`, { draft: pending.draft }, { keepalive }).then(
      () => {
        if (this.pending === pending) this.pending = null;
        this.tell("saved");
      },
      (refusal) => {
        if (refusal.status && refusal.status < 500) this.pending = null;
        else this.timer = setTimeout(() => this.flush(), TRY_AGAIN);
        this.tell("kept");
      },
    );
    await this.running;
  }

  /** The item is answered: nothing of it stays behind. */
  async drop(task) {
    clearTimeout(this.timer);
    this.pending = null;
    if (this.running) await this.running;
    try {
      localStorage.removeItem(this.key(task));
    } catch {
      // Nothing was kept then.
    }
  }
}
