// The study form is sent once, by its button.

import { byId } from "./dom.js";
import { sendOnce } from "./once.js";

sendOnce(/** @type {HTMLFormElement} */ (byId("study")));
