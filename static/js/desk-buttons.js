// Connect the buttons of the desk to their actions.

import { all, byId } from "./dom.js";

/**
 * @typedef {object} DeskActions
 * @property {(side: number) => void} prefer prefer the response on this side
 * @property {(decision: string) => void} decide
 * @property {(score: number) => void} score of a score item
 * @property {(side: number, score: number) => void} scoreSide
 * @property {(side: number | undefined) => void} toggleHalf add or take away half a point
 * @property {() => void} edit
 * @property {() => void} save
 * @property {() => void} skip
 * @property {() => void} undo
 * @property {() => void} toggleDifferences
 * @property {() => void} tryAgain
 */

/**
 * Connect the buttons that exist for this kind of queue.
 *
 * @param {DeskActions} actions
 */
export function connectButtons(actions) {
  const onClick = (/** @type {string} */ id, /** @type {() => void} */ action) =>
    document.getElementById(id)?.addEventListener("click", action);

  for (const side of [0, 1]) onClick(`choose-${side}`, () => actions.prefer(side));
  for (const button of all("[data-decision]")) {
    const { decision = "" } = button.dataset;
    button.addEventListener("click", decision === "edit" ? actions.edit : () => actions.decide(decision));
  }
  for (const button of all("[data-score]")) {
    const { side, score } = button.dataset;
    button.addEventListener("click", () =>
      side === undefined ? actions.score(Number(score)) : actions.scoreSide(Number(side), Number(score)),
    );
  }
  for (const button of all("[data-half]")) {
    const { side } = button.dataset;
    button.addEventListener("click", () => actions.toggleHalf(side === undefined ? undefined : Number(side)));
  }
  onClick("flip", () => actions.decide("flip"));
  onClick("save", actions.save);
  onClick("skip", actions.skip);
  onClick("undo", actions.undo);
  onClick("undo-last", actions.undo);
  onClick("differences", actions.toggleDifferences);
  onClick("try-again", actions.tryAgain);
  for (const name of ["guidelines", "keys"])
    onClick(`show-${name}`, () => /** @type {HTMLDialogElement} */ (byId(name)).showModal());
}
