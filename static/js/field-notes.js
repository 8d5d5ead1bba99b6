// Messages of the server's check for the fields of the launch form.

/**
 * @typedef {object} FieldNote
 * @property {string} id of the field's control
 * @property {boolean} shown whether the field applies
 * @property {string[]} problems
 * @property {string[]} warnings
 */

/**
 * The messages of a field: errors first, then warnings.
 *
 * @param {FieldNote} note
 * @returns {{tone: "wrong" | "warn", text: string}[]}
 */
export function linesOfNote({ problems, warnings }) {
  return [
    ...problems.map((text) => ({ tone: /** @type {const} */ ("wrong"), text: text[0].toUpperCase() + text.slice(1) })),
    ...warnings.map((text) => ({ tone: /** @type {const} */ ("warn"), text })),
  ];
}
