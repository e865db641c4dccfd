/**
 * The HTTP API: one function for each kind of call, and errors that say what to do.
 *
 * @typedef {{pointer: string, message: string}} FieldError
 */

/** What the service refused, as its problem document says it. */
export class Problem extends Error {
  /** @param {{title: string, detail: string, status: number, errors?: FieldError[], correlation_id?: string}} document */
  constructor(document) {
    super(document.detail);
    this.title = document.title;
    this.status = document.status;
    this.errors = document.errors ?? [];
    this.correlationId = document.correlation_id;
  }
}

const UNREACHABLE = {
  title: "The service doesn't answer",
  detail: "Is `stepsize up` still running? This page goes on by itself as soon as it is back.",
  status: 0,
};

/**
 * GET JSON. The browser keeps answers by their ETag, so asking again for what hasn't changed costs little.
 *
 * @param {string} path below /v1
 * @param {{signal?: AbortSignal}} [options]
 */
export function get(path, { signal } = {}) {
  return request("GET", path, { signal });
}

/**
 * POST JSON under an idempotency key of its own, so that a repeated click has no second effect.
 *
 * @param {string} path below /v1
 * @param {unknown} [body]
 */
export function post(path, body, { key = randomKey() } = {}) {
  return request("POST", path, { body, key });
}

/** @param {string} path */
export function remove(path) {
  return request("DELETE", path);
}

/** @param {string} path @param {{accept?: string, signal?: AbortSignal}} [options] @returns {Promise<string>} */
export async function getText(path, { accept = "text/plain", signal } = {}) {
  const response = await send("GET", path, { accept, signal });
  return response.text();
}

/**
 * Write a path with its query; empty values are left out, lists repeat their name.
 *
 * @param {string} path
 * @param {Record<string, string | number | boolean | null | undefined | string[]>} query
 */
export function withQuery(path, query) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") params.append(name, String(one));
    }
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

/** @returns {string} */
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function request(method, path, options = {}) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

async function send(method, path, { body, key, accept, signal } = {}) {
  const headers = { Accept: accept ?? "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  let response;
  try {
    response = await fetch(`/v1${path}`, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
  if (response.ok) return response;
  throw new Problem(await problemOf(response));
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText || "Error", detail: `The service answered ${response.status}.`, status: response.status };
  }
}
