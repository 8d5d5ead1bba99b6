// The form of a study: sent once, by its button.

import { byId } from "./dom.js";
import { sendOnce } from "./once.js";

sendOnce(/** @type {HTMLFormElement} */ (byId("study")));
