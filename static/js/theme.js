// The theme (system, light or dark) and its colours for charts.

const THEMES = ["system", "light", "dark"];

export const currentTheme = () => document.documentElement.dataset.theme || "system";

/** The theme after the next press of the button. */
export const nextTheme = () => THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length];

/**
 * Set the theme of this and later pages.
 *
 * @param {string} theme
 */
export function setTheme(theme) {
  const root = document.documentElement;
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  // A cookie, so that the server renders the next page in this theme.
  // biome-ignore lint/suspicious/noDocumentCookie: not every browser has the Cookie Store API
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  document.dispatchEvent(new CustomEvent("themechange"));
}

/**
 * The computed value of a stylesheet colour in the current theme.
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
