// What every page shares: theme, keys, menus, toasts and the widths that HTML attributes cannot carry.

const THEMES = ["system", "light", "dark"];

function currentTheme() {
  return document.documentElement.dataset.theme || "system";
}

function setTheme(theme) {
  const root = document.documentElement;
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  // A cookie, so that the server draws the next page in the right theme and nothing flashes.
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  document.dispatchEvent(new CustomEvent("themechange"));
}

const themeButton = document.getElementById("theme");
function labelTheme() {
  const text = `Theme: ${currentTheme()}. Press to change`;
  themeButton.title = text;
  themeButton.setAttribute("aria-label", text);
}
if (themeButton) {
  labelTheme();
  themeButton.addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length]);
    labelTheme();
    toast(`Theme: ${currentTheme()}`);
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.dispatchEvent(new CustomEvent("themechange")),
);

// On a narrow screen the bar scrolls: it begins at the page one is on, and fades where it goes on.
const nav = document.querySelector(".nav");
if (nav) {
  const fade = () => nav.classList.toggle("goes-on", nav.scrollLeft + nav.clientWidth < nav.scrollWidth - 4);
  const here = nav.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft - nav.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
  nav.addEventListener("scroll", fade, { passive: true });
  addEventListener("resize", fade);
  fade();
}

/** A short line at the bottom that goes away by itself. */
export function toast(text, tone = "") {
  const line = document.createElement("p");
  line.className = `toast ${tone}`;
  line.textContent = text;
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), tone === "bad" ? 8000 : 2600);
}

// Keys: any element with data-key is pressed by that key. "/" focuses the element that carries it.
function typing(target) {
  if (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)) return true;
  return target.tagName === "INPUT" && !/^(radio|checkbox)$/.test(target.type);
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const open = [...document.querySelectorAll("details.menu[open], details.ask[open]")].pop();
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
      return;
    }
    if (typing(event.target)) event.target.blur();
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && event.target.closest("form[data-send]")) {
    event.target.form.requestSubmit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
  const wanted = [...document.querySelectorAll("[data-key]")].filter(
    (item) => item.dataset.key === event.key.toLowerCase() && item.checkVisibility() && !item.disabled,
  );
  // The last one wins: an open question is drawn after what it stands over.
  const item = wanted.pop();
  if (!item) return;
  event.preventDefault();
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(item.tagName)) item.focus();
  else item.click();
});

// Menus and questions close on a click elsewhere, and a question opens with its first button in focus.
document.addEventListener("click", (event) => {
  for (const item of document.querySelectorAll("details.menu[open], details.ask[open]")) {
    if (!item.contains(event.target)) item.open = false;
  }
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("details").open = false;
  const copier = event.target.closest("[data-copy]");
  if (copier) copy(copier);
});
document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.matches?.("details.ask[open]")) event.target.querySelector(".ask-body button")?.focus();
  },
  true,
);

async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
    toast("Copied");
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    toast("Selected: copy it with Ctrl C");
  }
}

// A request that htmx made and that failed is said, not swallowed. Fragments carry their own text where they have one.
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (status === 401 || status === 403) toast("You are logged out, or may not do this. Reload the page.", "bad");
  else if (!event.detail.elt.closest("[data-poll]")) toast(`The server answered ${status}. Try again.`, "bad");
});
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.closest("[data-poll]")) toast("The server does not answer. Is it still running?", "bad");
});
// A session that ended answers with the login page: go there instead of drawing it inside a fragment.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/accounts/login/")) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

// Times: the server writes UTC, the reader sees the clock on the wall. "ago" texts count on by themselves.
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});
function ago(seconds) {
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86400);
  return days === 1 ? "yesterday" : `${days} days ago`;
}
export function localTimes(root = document) {
  for (const item of root.querySelectorAll("time[datetime]:not([data-seconds])")) {
    const then = new Date(item.dateTime);
    const sameDay = then.toDateString() === new Date().toDateString();
    const text = "ago" in item.dataset ? ago((Date.now() - then) / 1000) : (sameDay ? clock : dayClock).format(then);
    if (item.textContent !== text) item.textContent = text;
    if (!item.title) item.title = then.toLocaleString("en-GB");
  }
}
localTimes();
setInterval(localTimes, 10000);
document.addEventListener("htmx:afterSettle", (event) => localTimes(event.detail.elt.parentElement ?? document));
