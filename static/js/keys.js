// Keyboard shortcuts: a key clicks or focuses the element with this data-key.

/**
 * The properties of an element that the functions below use.
 * @typedef {{tagName: string, type?: string, isContentEditable?: boolean}} Target
 */

/**
 * Whether key presses in this element are text input.
 *
 * @param {Target} target
 */
export function isTyping(target) {
  if (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)) return true;
  return target.tagName === "INPUT" && !/^(radio|checkbox)$/.test(target.type ?? "");
}

/**
 * Whether an element is a form field, which a shortcut focuses instead of clicking.
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
 * The action of a key: close an open menu, leave a field, send a form, or press the element of a shortcut.
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
