// Sends a form only once, and only by its button.

/**
 * Prevent repeated submits and submits by Enter in a field. Returning to the page enables the form again.
 *
 * @param {HTMLFormElement} form
 * @param {(isSent: boolean) => void} [onChange]
 */
export function sendOnce(form, onChange = () => {}) {
  let isSent = false;
  form.addEventListener("submit", (event) => {
    if (isSent) event.preventDefault();
    isSent = true;
    onChange(true);
  });
  window.addEventListener("pageshow", () => {
    isSent = false;
    onChange(false);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && /** @type {HTMLElement} */ (event.target).tagName === "INPUT") event.preventDefault();
  });
}
