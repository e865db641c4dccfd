/** What the page says: problems, empty places, waiting, and passing notes. */

import { html, useEffect, useState } from "../vendor/preact-htm.js";

/** What went wrong and what to do about it. @param {{problem: import("../api.js").Problem, onRetry?: () => void}} props */
export function ProblemNote({ problem, onRetry }) {
  return html`<div class="problem" role="alert">
    <strong>${problem.title}</strong>
    ${
      problem.errors.length > 0
        ? html`<ul>${problem.errors.map((wrong) => html`<li>${wrong.pointer && html`<code>${wrong.pointer}</code> `}${wrong.message}</li>`)}</ul>`
        : html`<span>${problem.message}</span>`
    }
    ${problem.correlationId && html`<span class="small">Look for <code>${problem.correlationId}</code> in the service's log.</span>`}
    ${onRetry && html`<div><button class="button tight" onClick=${onRetry}>Try again</button></div>`}
  </div>`;
}

/** A panel whose answer this service, or this job, doesn't have. @param {{problem: import("../api.js").Problem}} props */
export function Unavailable({ problem }) {
  if (problem.status === 409 || problem.status === 422) return html`<p class="note">${problem.message}</p>`;
  if (problem.status === 404 || problem.status === 501) return html`<p class="note">Not available.</p>`;
  return html`<${ProblemNote} problem=${problem} />`;
}

/** @param {{title: string, children: unknown}} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

/** Holds the place of what is loading. @param {{height?: number}} props */
function Skeleton({ height = 20 }) {
  return html`<span class="skeleton" style=${{ height: `${height}px` }} aria-hidden="true" />`;
}

/** Something that is waited for. @param {{what: string, height: number}} props */
export function Loading({ what, height }) {
  return html`<div role="status"><span class="hidden-visually">Loading ${what}</span><${Skeleton} height=${height} /></div>`;
}

const TOAST_MS = 4000;

/** Say something in passing. @param {string} text */
export function say(text) {
  dispatchEvent(new CustomEvent("toast", { detail: text }));
}

/** Where passing notes appear; screen readers hear them. */
export function Toasts() {
  const [text, setText] = useState("");
  useEffect(() => {
    let timer = 0;
    const show = (event) => {
      setText(event.detail);
      clearTimeout(timer);
      timer = setTimeout(() => setText(""), TOAST_MS);
    };
    addEventListener("toast", show);
    return () => removeEventListener("toast", show);
  }, []);
  return html`<div role="status" aria-live="polite">${text && html`<div class="toast">${text}</div>`}</div>`;
}
