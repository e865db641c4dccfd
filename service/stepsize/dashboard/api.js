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

const CUT_OFF = {
  title: "The upload was cut off",
  detail: "The service closed the connection or doesn't answer: the file may be larger than it accepts (STEPSIZE_MAX_DATASET_BYTES).",
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

/**
 * POST a file as it is. Not fetch: it can't tell how much has been sent.
 *
 * @param {string} path below /v1
 * @param {File} file
 * @param {{onProgress: (share: number) => void, signal: AbortSignal}} options `share`: 0 … 1
 * @returns {Promise<any>} the answer
 */
export function upload(path, file, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", `/v1${path}`);
    sending.setRequestHeader("Accept", "application/json");
    sending.setRequestHeader("Content-Type", "application/octet-stream");
    sending.upload.onprogress = (event) => onProgress(event.total ? event.loaded / event.total : 0);
    sending.onload = () => (sending.status < 300 ? resolve(JSON.parse(sending.responseText)) : reject(new Problem(problemIn(sending.responseText, sending))));
    sending.onerror = () => reject(new Problem(CUT_OFF));
    sending.onabort = () => reject(new DOMException("the upload was cancelled", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(file);
  });
}

/** @param {string} path @param {{accept?: string, signal?: AbortSignal}} [options] @returns {Promise<string>} */
export async function getText(path, { accept = "text/plain", signal } = {}) {
  const response = await send("GET", path, { accept, signal });
  return response.text();
}

/**
 * Write a path with its query, or more of it; empty values are left out, lists repeat their name.
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
  return text ? `${path}${path.includes("?") ? "&" : "?"}${text}` : path;
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
  throw new Problem(problemIn(await response.text(), response));
}

/** The problem document of an answer, or one made from its status. @param {string} text @param {{status: number, statusText: string}} answer */
function problemIn(text, { status, statusText }) {
  try {
    return JSON.parse(text);
  } catch {
    return { title: statusText || "Error", detail: `The service answered ${status}.`, status };
  }
}
