// On a narrow screen the picture is wider than its frame: bring the checkpoint of this page into it.

for (const frame of document.querySelectorAll(".lineage-scroll")) {
  const here = frame.querySelector(".here");
  if (!here) continue;
  const box = here.getBoundingClientRect();
  const view = frame.getBoundingClientRect();
  frame.scrollLeft += box.left + box.width / 2 - (view.left + view.width / 2);
}
