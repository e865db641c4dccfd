/** States of jobs and trials: a colour, a shape and a word each, so that none is told by colour alone. */

import { formatCount, words } from "../format.js";
import { html } from "../vendor/preact-htm.js";

/** Shapes in a 10 × 10 box; charts draw the same ones. */
const SHAPES = {
  queued: html`<circle cx="5" cy="5" r="3.7" fill="none" stroke="currentColor" stroke-width="1.6" />`,
  running: html`<circle cx="5" cy="5" r="4.6" fill="currentColor" />`,
  stopping: html`<rect x="1" y="1" width="8" height="8" rx="1.5" fill="none" stroke="currentColor" stroke-width="1.8" />`,
  paused: html`<path d="M1.5 1h2.6v8H1.5zM5.9 1h2.6v8H5.9z" fill="currentColor" />`,
  completed: html`<path d="M1 5.4 3.9 8.2 9 2" fill="none" stroke="currentColor" stroke-width="2" />`,
  pruned: html`<path d="M5 1.2 9.6 9H.4z" fill="currentColor" />`,
  infeasible: html`<path d="M5 .2 9.8 5 5 9.8.2 5z" fill="currentColor" />`,
  failed: html`<path d="M1.3 1.3l7.4 7.4M8.7 1.3 1.3 8.7" stroke="currentColor" stroke-width="2.2" />`,
  cancelled: html`<path d="M.8 5h8.4" stroke="currentColor" stroke-width="2.4" />`,
};

/** In the order of a trial's life; bars and legends follow it. */
export const TRIAL_STATES = ["completed", "pruned", "infeasible", "failed", "cancelled", "running", "queued"];
export const JOB_STATES = ["queued", "running", "paused", "stopping", "completed", "failed", "cancelled"];

const REASONS = {
  no_worker: "no worker can run it",
  max_trials: "all trials done",
  user: "by you",
  space_exhausted: "every configuration tried",
  lost: "its process died",
};

/** @param {string | null} reason */
function reasonText(reason) {
  return reason && reason !== "pruner" ? (REASONS[reason] ?? words(reason)) : "";
}

/** @param {{state: string, reason?: string | null}} props */
export function State({ state, reason }) {
  return html`<span class="badge ${state}" data-state=${state}>
    <svg viewBox="0 0 10 10" aria-hidden="true">${SHAPES[state]}</svg>${state}
    ${reason && html`<span class="why">${reasonText(reason)}</span>`}
  </span>`;
}

/** What went wrong in a trial. @param {{type: string, message: string}} error */
export function wordsOf({ type, message }) {
  return message ? `${type}: ${message}` : type;
}

/** Trials by state as one bar. @param {{progress: object}} props */
export function ProgressBar({ progress }) {
  const total = Math.max(progress.max_trials ?? 0, progress.total, 1);
  const ended = progress.total - progress.counts.queued - progress.counts.running;
  return html`<div class="bar" role="img" aria-label="${ended} of ${progress.max_trials ?? progress.total} trials ended">
    ${TRIAL_STATES.filter((state) => state !== "queued" && progress.counts[state]).map(
      (state) => html`<span data-state=${state} style=${{ "--share": `${(100 * progress.counts[state]) / total}%` }} />`,
    )}
  </div>`;
}

/** @param {{counts: Record<string, number>}} props */
export function Counts({ counts }) {
  return html`<ul class="legend">
    ${TRIAL_STATES.filter((state) => counts[state]).map(
      (state) => html`<li class="badge" data-state=${state}>
        <svg viewBox="0 0 10 10" aria-hidden="true">${SHAPES[state]}</svg>
        <span class="number">${formatCount(counts[state])}</span> <span class="why">${state}</span>
      </li>`,
    )}
  </ul>`;
}
