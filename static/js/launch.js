// The launch form: after each check by the server, put what it says on the fields and show those that apply.

const form = document.getElementById("launch");
const touched = new Set();

form.addEventListener("input", (event) => touched.add(event.target.name));
form.addEventListener("change", (event) => touched.add(event.target.name));

// The first check fills in nothing that the server has not drawn already; later ones come from htmx.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "side") return;
  const notes = document.getElementById("field-notes");
  if (notes) say(JSON.parse(notes.textContent));
});

function say(fields) {
  for (const [path, note] of Object.entries(fields)) {
    const holder = form.querySelector(`[data-field="${path}"]`);
    if (!holder) continue;
    holder.hidden = !note.shown;
    holder.classList.toggle("has-wrong", note.problems.length > 0);
    const control = document.getElementById(note.id);
    if (note.problems.length) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
    const line = document.getElementById(`${note.id}-say`);
    const said = [...note.problems.map((text) => ["wrong", text[0].toUpperCase() + text.slice(1)]), ...note.warnings.map((text) => ["warn", text])];
    if (line.textContent.trim() === said.map(([, text]) => text).join("")) continue;
    line.replaceChildren(
      ...said.map(([tone, text]) => {
        const item = document.createElement("span");
        item.className = tone;
        item.textContent = text;
        return item;
      }),
    );
    if (said.length && touched.has(path)) holder.closest("details")?.setAttribute("open", "");
  }
  for (const section of form.querySelectorAll(".launch-section")) {
    section.hidden = !section.querySelector("[data-field]:not([hidden])");
    for (const more of section.querySelectorAll("details.more")) {
      const shown = more.querySelectorAll("[data-field]:not([hidden])").length;
      more.hidden = !shown;
      more.querySelector("summary .mute").textContent = `(${shown})`;
    }
  }
}

/** Bring a field into view and into focus, whatever is folded around it. */
function go(path) {
  const holder = form.querySelector(`[data-field="${path}"]`);
  if (!holder) return;
  holder.hidden = false;
  holder.closest("section").hidden = false;
  holder.closest("details")?.setAttribute("open", "");
  holder.scrollIntoView({ block: "center" });
  holder.querySelector("input, select, textarea")?.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-go]");
  if (!link) return;
  event.preventDefault();
  go(link.dataset.go);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-download]");
  if (!button) return;
  const text = document.querySelector(button.dataset.from).textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
  link.download = button.dataset.download;
  link.click();
  URL.revokeObjectURL(link.href);
});

// One press launches one run, however often it is repeated while the server thinks.
let isSent = false;
form.addEventListener("submit", (event) => {
  if (isSent) event.preventDefault();
  isSent = true;
  form.querySelector(".launch-button").setAttribute("aria-disabled", "true");
});
// Coming back to the page by the browser's own button finds it ready again.
window.addEventListener("pageshow", () => {
  isSent = false;
  form.querySelector(".launch-button").removeAttribute("aria-disabled");
});

// Enter in a field would send the form by accident: a launch is a press of its button.
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault();
});

if ("sent" in form.dataset) {
  const first = form.querySelector(".has-wrong");
  if (first) go(first.dataset.field);
}
