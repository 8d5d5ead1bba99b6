// What the server's check says of the fields of the launch form.

/**
 * @typedef {object} FieldNote
 * @property {string} id of the field's control
 * @property {boolean} shown whether the field applies
 * @property {string[]} problems
 * @property {string[]} warnings
 */

/**
 * The lines under a field: problems first, as sentences, then warnings.
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
