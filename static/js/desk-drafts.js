// Drafts of one person's answers: stored on this device immediately and on the server after a short delay.

import { ask, asRefusal } from "./api.js";

/**
 * @typedef {Record<string, any>} Draft fields of an unsaved answer
 * @typedef {{draft: Draft, at: number}} KeptDraft a draft on this device, and when it was stored (ms since 1970)
 * @typedef {"typing" | "saved" | "kept"} DraftState kept: only on this device, without a connection
 */

const SAVE_AFTER_MS = 600; // since the last key stroke
const RETRY_AFTER_MS = 3000;

/**
 * The newer of the draft on this device and the one on the server.
 *
 * @param {KeptDraft | null} kept
 * @param {{draft: Draft | null, draft_saved_at: string | null}} item
 */
export function newerDraft(kept, item) {
  const savedAt = item.draft_saved_at ? Date.parse(item.draft_saved_at) : 0;
  return kept && (!item.draft || kept.at > savedAt) ? kept.draft : item.draft;
}

export class Drafts {
  /**
   * @param {string} person
   * @param {(state: DraftState) => void} onState
   */
  constructor(person, onState) {
    this.person = person;
    this.onState = onState;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {{task: number, draft: Draft} | null} */
    this.pending = null;
    /** @type {Promise<void> | null} */
    this.running = null;
    addEventListener("online", () => this.flush());
  }

  /** @param {number} task */
  key(task) {
    return `plumbline.draft.${this.person}.${task}`;
  }

  /**
   * The draft of an item, or null.
   *
   * @param {{id: number, draft: Draft | null, draft_saved_at: string | null}} item
   */
  newest(item) {
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(this.key(item.id)) ?? "null");
    } catch {
      kept = null;
    }
    return newerDraft(kept, item);
  }

  /**
   * @param {number} task
   * @param {Draft} draft
   */
  keep(task, draft) {
    this.pending = { task, draft };
    try {
      localStorage.setItem(this.key(task), JSON.stringify({ draft, at: Date.now() }));
    } catch {
      // Storage is full or blocked: the server still gets the draft.
    }
    this.onState("typing");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), SAVE_AFTER_MS);
  }

  /**
   * Send the pending draft now. With `keepalive` the request survives leaving the page.
   *
   * @param {{keepalive?: boolean}} [options]
   */
  async flush({ keepalive = false } = {}) {
    clearTimeout(this.timer);
    const { pending } = this;
    if (!pending) return;
    if (this.running && !keepalive) await this.running;
    if (this.pending !== pending) return;
    this.running = ask("POST", `tasks/${pending.task}/draft`, { draft: pending.draft }, { keepalive }).then(
      () => {
        if (this.pending === pending) this.pending = null;
        this.onState("saved");
      },
      (error) => {
        const { status } = asRefusal(error);
        if (status && status < 500) this.pending = null;
        else this.timer = setTimeout(() => this.flush(), RETRY_AFTER_MS);
        this.onState("kept");
      },
    );
    await this.running;
  }

  /**
   * Delete the draft of an answered item.
   *
   * @param {number} task
   */
  async drop(task) {
    clearTimeout(this.timer);
    this.pending = null;
    if (this.running) await this.running;
    try {
      localStorage.removeItem(this.key(task));
    } catch {
      // Storage is blocked, so there is no draft.
    }
  }
}
