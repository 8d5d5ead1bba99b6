// Requests to the REST API. Errors are thrown as Refusal.

/** An error of the API. `code` is the API's error code; status 0: no response. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Convert a thrown value to a Refusal. Script errors have status -1 and code "script".
 *
 * @param {unknown} error
 * @returns {Refusal}
 */
export const asRefusal = (error) => (error instanceof Refusal ? error : new Refusal(-1, "script", String(error)));

const csrfToken = () => JSON.parse(document.body.getAttribute("hx-headers") ?? "{}")["X-CSRFToken"];

/**
 * Send a request. Resolves with the body, or null for 204; throws a Refusal.
 *
 * @param {"GET" | "POST"} method
 * @param {string} path below /api/v1/
 * @param {object} [body]
 * @param {{keepalive?: boolean}} [options] keepalive: continue after the page is closed
 * @returns {Promise<any>}
 */
export async function ask(method, path, body, { keepalive = false } = {}) {
  let reply;
  try {
    reply = await fetch(`/api/v1/${path}`, {
      method,
      keepalive,
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken(), Accept: "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refusal(0, "no-answer", "The server does not answer.");
  }
  if (reply.status === 204) return null;
  let found = null;
  try {
    found = await reply.json();
  } catch {
    throw new Refusal(reply.status, "no-json", `The server answered ${reply.status}. Try again.`);
  }
  if (reply.ok) return found;
  const message = found.error?.message ?? `The server answered ${reply.status}.`;
  throw new Refusal(reply.status, found.error?.code ?? "error", message);
}
