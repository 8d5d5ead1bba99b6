// On a narrow screen, scroll the lineage figure to the checkpoint of this page.

import { all, first } from "./dom.js";

for (const frame of all(".lineage-scroll")) {
  const here = first(".here", frame);
  if (!here) continue;
  const box = here.getBoundingClientRect();
  const view = frame.getBoundingClientRect();
  frame.scrollLeft += box.left + box.width / 2 - (view.left + view.width / 2);
}
