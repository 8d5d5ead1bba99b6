// The chat: Enter sends, the box empties, the newest turn stays in sight, and nothing is sent while an answer is written.

const form = document.getElementById("ask");
const turns = document.getElementById("turns");
const problem = document.getElementById("chat-problem");

if (form) {
  const box = form.elements.text;

  const waiting = () => turns.querySelector("[data-pending]") !== null;
  const settle = () => {
    form.querySelector("button[type=submit]").disabled = waiting();
  };
  const grow = () => {
    box.rows = Math.min(12, Math.max(2, box.value.split("\n").length));
  };

  box.addEventListener("input", grow);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!waiting() && box.value.trim()) form.requestSubmit();
  });

  form.addEventListener("htmx:beforeRequest", (event) => {
    if (waiting()) event.preventDefault();
    problem.textContent = "";
  });
  form.addEventListener("htmx:afterRequest", (event) => {
    // What stands in the way comes back for the line beside the button, and the words stay in the box.
    if (event.detail.successful && !event.detail.xhr.getResponseHeader("HX-Retarget")) {
      turns.querySelector(".hello")?.remove();
      box.value = "";
      grow();
    }
    box.focus();
  });
  document.addEventListener("htmx:afterSettle", () => {
    settle();
    turns.lastElementChild?.scrollIntoView({ block: "nearest" });
  });
  settle();
  turns.lastElementChild?.scrollIntoView({ block: "nearest" });
}
