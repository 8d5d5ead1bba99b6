// What every page shares: the theme button, the navigation, keys, menus, copying, messages of htmx and local times.

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

// On a narrow screen the bar scrolls: it begins at the link of this page, and fades where more follows.
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
 * The element that a key presses. The last one wins: an open question is drawn after what it covers.
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

// Menus and questions close on a click elsewhere, and a question opens with its first button in focus.
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
 * Copy the text of the element that the button names, or select it where the browser does not allow copying.
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
    toast("Selected: copy it with Ctrl C");
  }
}

// ------------------------------------------------------------------ requests of htmx

// A failed request is reported. Parts that poll stay silent: they try again by themselves.
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (status === 401 || status === 403) toast("You are logged out, or may not do this. Reload the page.", "bad");
  else if (!event.detail.elt.closest("[data-poll]")) toast(`The server answered ${status}. Try again.`, "bad");
});
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.closest("[data-poll]")) toast("The server does not answer. Is it still running?", "bad");
});
// A session that ended answers with the login page: go there instead of drawing it inside a part of this page.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/accounts/login/")) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

keepTimes();
