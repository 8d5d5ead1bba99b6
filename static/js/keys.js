// Keys of every page: an element with data-key is clicked or focused by that key.

/**
 * What the rules below need to know of an element.
 * @typedef {{tagName: string, type?: string, isContentEditable?: boolean}} Target
 */

/**
 * Whether keys that are pressed here are text.
 *
 * @param {Target} target
 */
export function isTyping(target) {
  if (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)) return true;
  return target.tagName === "INPUT" && !/^(radio|checkbox)$/.test(target.type ?? "");
}

/**
 * Whether an element is a field of a form, which a key focuses and does not click.
 *
 * @param {Target} target
 */
export const isField = (target) => /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);

/**
 * @typedef {object} KeyPress
 * @property {string} key
 * @property {boolean} ctrlKey
 * @property {boolean} metaKey
 * @property {boolean} altKey
 * @property {boolean} defaultPrevented
 */

/**
 * What a key does on a page: close what is open, leave a field, send a form, or press the element that carries it.
 *
 * @param {KeyPress} press
 * @param {{isTyping: boolean, inSendForm: boolean, somethingOpen: boolean}} where
 * @returns {"close" | "leave" | "send" | "press" | "none"}
 */
export function keyAction(press, where) {
  const withControl = press.ctrlKey || press.metaKey;
  if (press.key === "Escape") {
    if (where.somethingOpen) return "close";
    return where.isTyping ? "leave" : "none";
  }
  if (withControl && press.key === "Enter" && where.inSendForm) return "send";
  if (withControl || press.altKey || press.defaultPrevented || where.isTyping) return "none";
  return "press";
}
