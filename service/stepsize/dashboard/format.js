/** Numbers, durations and times as people read them. */

import { html } from "./vendor/preact-htm.js";

const MINUS = "−";

/**
 * Three significant digits; powers of ten outside 0.001 … 100,000.
 *
 * @param {number | null | undefined} value
 */
export function formatNumber(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return formatPower(value);
  if (Number.isInteger(value)) return formatCount(value);
  return Number(value.toPrecision(size >= 1000 ? 4 : 3)).toString().replace("-", MINUS);
}

/** A measured value: three significant digits, zeros too, so that columns line up. @param {number | null | undefined} value */
export function formatValue(value) {
  if (typeof value !== "number" || value === 0 || Math.abs(value) < 1e-3 || Math.abs(value) >= 1000) return formatNumber(value);
  return value.toPrecision(3).replace("-", MINUS);
}

/** A learning rate: always with its exponent below 0.1, so that rates compare at a glance. @param {number} value */
export function formatRate(value) {
  return Number.isFinite(value) && value !== 0 && Math.abs(value) < 0.1 ? formatPower(value) : formatNumber(value);
}

/** Three significant digits and an exponent, as code has it: `1.03e-2`; round numbers are written short. @param {number} value */
function formatPower(value) {
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${mantissa.replace(/\.?0+$/, "").replace("-", MINUS)}e${Number(exponent)}`;
}

/** A whole number with thin spaces. @param {number} value */
export function formatCount(value) {
  const digits = String(Math.abs(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return (value < 0 ? MINUS : "") + digits;
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

/** Any parameter value. @param {unknown} value @param {string} [name] */
export function formatParam(value, name = "") {
  if (typeof value !== "number") return String(value);
  return isRate(name) ? formatRate(value) : formatNumber(value);
}

/** @param {string} name */
export function isRate(name) {
  return /(^|_)(learning_rate|lr|weight_decay)(_|$)/.test(name);
}

/** @param {number | null | undefined} seconds */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

/** @param {string} time RFC 3339 @param {number} [now] Unix milliseconds */
function formatAgo(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds / 5) * 5} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 30 * 86400) return `${Math.floor(seconds / 86400)} d ago`;
  return new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** A moment, relative; the exact one is in the tooltip. @param {{at: string | null}} props */
export function Ago({ at }) {
  if (!at) return html`<span class="muted">–</span>`;
  return html`<time datetime=${at} title=${new Date(at).toLocaleString()}>${formatAgo(at)}</time>`;
}

/** @param {number} share 0 … 1 */
export function formatShare(share) {
  return `${Math.round(share * 100)} %`;
}

/** Text with `code` between backticks, as help texts have it. @param {{text: string}} props */
export function Prose({ text }) {
  return text.split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));
}

/** What a word of the API reads like. @param {string} word */
export function words(word) {
  return word.replaceAll("_", " ");
}

/** What chose a job's configurations: where all of them were given, as an imported study's are, no sampler did. @param {{kind: string, spec: object}} job */
export function searchWords({ kind, spec }) {
  if (kind !== "tune") return words(kind);
  const isAllGiven = spec.budget.max_trials !== null && spec.enqueue.length >= spec.budget.max_trials;
  return isAllGiven ? "configurations given" : spec.sampler.name;
}
