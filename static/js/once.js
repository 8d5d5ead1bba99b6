// A form that is sent by its button, once.

/**
 * One press sends the form once, however often it is repeated while the server works; Enter in a field does not send it.
 * Coming back to the page by the browser's own button makes it ready again.
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
