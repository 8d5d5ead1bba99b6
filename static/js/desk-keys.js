// Decide what a key does at the desk, before the page-wide shortcuts see it. No access to the page.

/** Distance that each arrow and page key scrolls the responses, in pages. */
export const SCROLLS = /** @type {Record<string, number>} */ ({
  ArrowDown: 0.125,
  ArrowUp: -0.125,
  PageDown: 1,
  PageUp: -1,
});

/**
 * @typedef {object} KeyPress
 * @property {string} key
 * @property {boolean} ctrlKey
 * @property {boolean} metaKey
 * @property {boolean} repeat whether the key is held down
 * @property {boolean} isComposing whether an input method composes a character
 *
 * @typedef {object} Place
 * @property {boolean} dialogOpen
 * @property {boolean} isBusy whether an answer is being saved
 * @property {boolean} inField
 * @property {boolean} inResponse whether the focus is in a response, which the browser scrolls
 * @property {boolean} onControl whether the focus is on a link, summary or button, which Enter activates
 *
 * scroll: scroll the responses. stop: skip the page-wide shortcuts. swallow: also prevent the browser's default.
 * save: save the answer. pass: leave the key to the page-wide shortcuts.
 * @typedef {"scroll" | "stop" | "swallow" | "save" | "pass"} DeskKey
 */

/**
 * Decide what a key does. Repeats are ignored, and so are all keys while an answer is saved or a dialog is open.
 *
 * @param {KeyPress} press
 * @param {Place} place
 * @returns {DeskKey}
 */
export function deskKey(press, place) {
  const { key } = press;
  if (!place.dialogOpen && !place.inField && key in SCROLLS && !place.inResponse) return "scroll";
  if (place.dialogOpen) {
    if (key === "Escape") return "pass";
    return key === "Tab" || key === "Enter" ? "stop" : "swallow";
  }
  if ((place.isBusy || press.repeat) && !place.inField) return "stop";
  if (key !== "Enter" || press.isComposing) return "pass";
  if (place.inField) return press.ctrlKey || press.metaKey ? "save" : "pass";
  return place.onControl ? "pass" : "save";
}
