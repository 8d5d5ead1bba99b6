// Shared by all pages: theme button, navigation, keyboard shortcuts, menus, copying, htmx errors and local times.

import { all, first, targetOf } from "./dom.js";
import { isField, isTyping, keyAction } from "./keys.js";
import { currentTheme, nextTheme, setTheme } from "./theme.js";
import { keepTimes } from "./times.js";
import { toast } from "./toast.js";

const OPEN = "details.menu[open], details.ask[open]";

const openDetails = () => /** @type {HTMLDetailsElement[]} */ (all(OPEN));

// ------------------------------------------------------------------ theme and navigation

const themeButton = document.getElementById("theme");

/** @param {HTMLElement} button */
function labelTheme(button) {
  const text = `Theme: ${currentTheme()}. Press to change`;
  button.title = text;
  button.setAttribute("aria-label", text);
}

if (themeButton) {
  labelTheme(themeButton);
  themeButton.addEventListener("click", () => {
    setTheme(nextTheme());
    labelTheme(themeButton);
    toast(`Theme: ${currentTheme()}`);
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.dispatchEvent(new CustomEvent("themechange")),
);

// On a narrow screen the bar scrolls to the link of this page and fades out at the edge.
const nav = first(".nav");
if (nav) {
  const fade = () => nav.classList.toggle("goes-on", nav.scrollLeft + nav.clientWidth < nav.scrollWidth - 4);
  const here = first("[aria-current]", nav);
  if (here) nav.scrollLeft = here.offsetLeft - nav.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
  nav.addEventListener("scroll", fade, { passive: true });
  addEventListener("resize", fade);
  fade();
}

// ------------------------------------------------------------------ keys

/**
 * The element of a keyboard shortcut. The last one wins: an open question comes later in the page.
 *
 * @param {string} key
 */
function elementOfKey(key) {
  return all("[data-key]")
    .filter(
      (item) =>
        item.dataset.key === key.toLowerCase() &&
        item.checkVisibility() &&
        !(/** @type {HTMLButtonElement} */ (item).disabled),
    )
    .pop();
}

document.addEventListener("keydown", (event) => {
  const target = targetOf(event);
  const open = openDetails().pop();
  const action = keyAction(event, {
    isTyping: isTyping(target),
    inSendForm: (event.ctrlKey || event.metaKey) && Boolean(target.closest("form[data-send]")),
    somethingOpen: open !== undefined,
  });
  if (action === "close" && open) {
    open.open = false;
    first("summary", open)?.focus();
  } else if (action === "leave") target.blur();
  else if (action === "send") /** @type {HTMLInputElement} */ (target).form?.requestSubmit();
  else if (action === "press") {
    const item = elementOfKey(event.key);
    if (!item) return;
    event.preventDefault();
    if (isField(item)) item.focus();
    else item.click();
  }
});

// ------------------------------------------------------------------ menus, questions, copying

// A click outside closes menus and questions. An open question focuses its first button.
document.addEventListener("click", (event) => {
  const target = targetOf(event);
  for (const item of openDetails()) {
    if (!item.contains(target)) item.open = false;
  }
  const details = target.closest("[data-close]")?.closest("details");
  if (details) details.open = false;
  const copier = target.closest("[data-copy]");
  if (copier) copy(/** @type {HTMLElement} */ (copier));
});
document.addEventListener(
  "toggle",
  (event) => {
    const target = targetOf(event);
    if (target.matches?.("details.ask[open]")) first(".ask-body button", target)?.focus();
  },
  true,
);

/**
 * Copy the text of the button's target, or select it if the browser does not allow copying.
 *
 * @param {HTMLElement} button
 */
async function copy(button) {
  const source = first(button.dataset.copy ?? "");
  if (!source) return;
  try {
    const { value } = /** @type {HTMLTextAreaElement} */ (source);
    await navigator.clipboard.writeText((value ?? source.textContent).trim());
    toast("Copied");
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection()?.removeAllRanges();
    getSelection()?.addRange(range);
    toast("Selected. Press Ctrl+C to copy.");
  }
}

// ------------------------------------------------------------------ requests of htmx

// Report failed requests, except of polling parts, which retry.
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (status === 401 || status === 403) toast("Logged out or not allowed. Reload the page.", "bad");
  else if (!event.detail.elt.closest("[data-poll]")) toast(`The server answered ${status}. Try again.`, "bad");
});
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.closest("[data-poll]")) toast("The server does not respond.", "bad");
});
// After the end of a session, the server returns the login page: load it instead of swapping it into a part.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/accounts/login/")) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

keepTimes();
