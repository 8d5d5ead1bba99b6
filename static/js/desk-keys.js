// What a key does at the desk, before the keys of every page see it. No access to the page.

/** How far the arrow and page keys scroll both responses: in pages, or in lines below one page. */
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
 * @property {boolean} inResponse whether the focus is in a response, which then scrolls by itself
 * @property {boolean} onControl whether the focus is on a link, a fold or a button, which Enter presses
 *
 * scroll: scroll the responses. stop: no other key of the page acts. swallow: nor does the browser's own.
 * save: save the answer. pass: the keys of every page decide.
 * @typedef {"scroll" | "stop" | "swallow" | "save" | "pass"} DeskKey
 */

/**
 * What a key does. Held down, a key acts once; while an answer is saved or a dialog is open, no key of the desk acts.
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
