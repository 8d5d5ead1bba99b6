// The theme of the page: system, light or dark, and the colours that it gives to charts.

const THEMES = ["system", "light", "dark"];

export const currentTheme = () => document.documentElement.dataset.theme || "system";

/** The theme that a press of the button brings. */
export const nextTheme = () => THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length];

/**
 * Show the pages in this theme, here and later.
 *
 * @param {string} theme
 */
export function setTheme(theme) {
  const root = document.documentElement;
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  // A cookie, so that the server draws the next page in the right theme and nothing flashes.
  // biome-ignore lint/suspicious/noDocumentCookie: not every browser has the Cookie Store API
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  document.dispatchEvent(new CustomEvent("themechange"));
}

/**
 * A colour of the stylesheet as the browser computes it in the present theme.
 *
 * @param {string} name
 */
function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  probe.style.color = `var(--${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/**
 * Colours of the stylesheet by their names.
 *
 * @param {string[]} names
 * @returns {Record<string, string>}
 */
export const themeColours = (names) => Object.fromEntries(names.map((name) => [name, colour(name)]));
