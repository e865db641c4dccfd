/** Charts of a search as a whole, from the job's history: its course, a map of two parameters, a slice along one. */

import { formatNumber, formatParam, isRate } from "../format.js";
import { href } from "../router.js";
import { html, useMemo } from "../vendor/preact-htm.js";
import { color, viridis } from "./colors.js";
import { band, line, mark } from "./marks.js";
import { axisOver, clamp, Plot } from "./plot.js";

/**
 * @typedef {{job_id: string, metric: string, direction: string, n_trials: number, numbers: number[], states: string[],
 *   values: (number | null)[], best: (number | null)[], params: Record<string, unknown[]>}} History
 */

const NO_FRONTIER = [];

/** Each trial's value, and the best so far. @param {{history: History, target: number | null}} props */
export function HistoryChart({ history, target }) {
  const chart = useMemo(() => {
    const values = history.values.filter((value) => value !== null);
    const y = axisOver(target === null ? values : [...values, target], { label: history.metric, clip: badSide(history) });
    const x = axisOver(history.numbers, { log: "never", isWhole: true, label: "trial" });
    const heights = history.values.map((value) => clamp(y, value ?? worst(history)));
    const indices = history.numbers.map((_, index) => index);
    const spots = indices.map((index) => spotOf(history, index, history.numbers[index], heights[index]));
    const paint = (canvas) => {
      if (target !== null) line(canvas, [x.min, x.max], [target, target], { stroke: color("muted"), width: 1, dash: [4, 4] });
      for (const index of indices) {
        const state = history.states[index];
        mark(canvas, history.numbers[index], heights[index], { state, fill: color(state), alpha: 0.6 });
      }
      line(canvas, history.numbers, history.best, { stroke: color("accent"), width: 2.2, stepped: true });
    };
    return { x, y, spots, paint };
  }, [history, target]);
  const best = history.best.at(-1);
  const summary = `${history.n_trials} finished trials; the best ${history.metric} is ${formatNumber(best)}`;
  return html`<${Plot} ...${chart} label="History of the search: ${summary}" />`;
}

/**
 * Two parameters; colour is how good. Bright is best.
 *
 * @param {{history: History, across: string, up: string, law?: {a: {value: number | null}, b: {value: number | null}},
 *   frontier?: {batch_size: number, learning_rate: {value: number | null}}[]}} props
 */
export function MapChart({ history, across, up, law, frontier = NO_FRONTIER }) {
  const chart = useMemo(() => {
    const [xs, ys] = [scatterAxis(history, across), scatterAxis(history, up)];
    const ranks = ranksOf(history);
    const indices = history.numbers.map((_, index) => index).filter((index) => xs.at[index] !== null && ys.at[index] !== null);
    // The best are painted last, so that they lie on top.
    indices.sort((a, b) => ranks[a] - ranks[b]);
    const places = ys.at.map((value, index) => (value === null ? null : ys.spread(value, history.numbers[index])));
    const spots = indices.map((index) => spotOf(history, index, xs.at[index], places[index]));
    const paint = (canvas) => {
      for (const index of indices) {
        const state = history.states[index];
        const isGood = ranks[index] >= 0;
        const fill = isGood ? viridis(ranks[index]) : color(state);
        mark(canvas, xs.at[index], places[index], { state, fill, radius: 4.6, alpha: 0.9, edge: isGood ? color("line-strong") : undefined });
      }
      if (across === "learning_rate" && up === "batch_size") paintLaw(canvas, { law, frontier, batches: ys.axis });
    };
    return { x: xs.axis, y: ys.axis, spots, paint };
  }, [history, across, up, law, frontier]);
  return html`<${Plot} ...${chart} label="${across} against ${up}, ${history.numbers.length} trials coloured by ${history.metric}" />`;
}

function paintLaw(canvas, { law, frontier, batches }) {
  if (typeof law?.a?.value === "number" && typeof law.b.value === "number") {
    const ends = [batches.min, batches.max];
    const rates = ends.map((batch) => 10 ** (law.a.value + law.b.value * Math.log10(batch)));
    line(canvas, rates, ends, { stroke: color("accent"), width: 2 });
  }
  const known = frontier.filter((place) => place.learning_rate.value !== null);
  const edge = { stroke: color("infeasible"), width: 1.6, dash: [5, 4] };
  line(canvas, known.map((place) => place.learning_rate.value), known.map((place) => place.batch_size), edge);
}

/** Value along one parameter. @param {{history: History, along: string, plateau?: [number, number] | null}} props */
export function SliceChart({ history, along, plateau }) {
  const chart = useMemo(() => {
    const xs = scatterAxis(history, along);
    const values = history.values.filter((value) => value !== null);
    const y = axisOver(values, { label: history.metric, clip: badSide(history) });
    const indices = history.numbers.map((_, index) => index).filter((index) => xs.at[index] !== null);
    const places = indices.map((index) => [
      xs.axis.ticks ? xs.spread(xs.at[index], history.numbers[index]) : xs.at[index],
      clamp(y, history.values[index] ?? worst(history)),
    ]);
    const spots = indices.map((index, order) => spotOf(history, index, ...places[order]));
    const paint = (canvas) => {
      if (plateau && along === "learning_rate") band(canvas, { x: plateau }, color("accent"));
      indices.forEach((index, order) => {
        const state = history.states[index];
        mark(canvas, ...places[order], { state, fill: color(state), alpha: 0.55 });
      });
    };
    return { x: xs.axis, y, spots, paint };
  }, [history, along, plateau]);
  return html`<${Plot} ...${chart} label="${history.metric} along ${along}, ${history.numbers.length} trials" />`;
}

/** From worst to best. */
export function ColourScale({ metric }) {
  const stops = Array.from({ length: 9 }, (_, index) => index / 8);
  return html`<span class="scale">
    worse
    <svg viewBox="0 0 9 1" preserveAspectRatio="none" aria-hidden="true">
      ${stops.map((stop, index) => html`<rect x=${index} width="1.02" height="1" fill=${viridis(stop)} />`)}
    </svg>
    better ${metric}
  </span>`;
}

/** Parameters worth an axis: those that differ between trials. @param {History} history */
export function variedParams(history) {
  return Object.keys(history.params).filter((name) => new Set(history.params[name].filter((value) => value !== null)).size > 1);
}

/** Trials without a value are marked at the bad edge. @returns {number} */
function worst({ direction }) {
  return direction === "maximize" ? -Infinity : Infinity;
}

function badSide({ direction }) {
  return direction === "maximize" ? "low" : "high";
}

function spotOf(history, index, x, y) {
  const params = Object.entries(history.params).filter(([, column]) => column[index] !== null);
  const tip = html`<strong>Trial ${history.numbers[index]}</strong> ${history.states[index]}<br />
    ${history.metric} ${formatNumber(history.values[index])}
    ${params.map(([name, column]) => html`<br />${name} ${formatParam(column[index], name)}`)}`;
  return { x, y, tip, href: href(["jobs", history.job_id, "trials", String(history.numbers[index])]) };
}

/** A parameter as an axis: logarithmic for rates and powers of two, places with names for categories. */
function scatterAxis(history, name) {
  const column = history.params[name] ?? history.numbers.map(() => null);
  const present = column.filter((value) => value !== null);
  if (present.some((value) => typeof value !== "number")) return categoryAxis(column, present, name);
  const isDyadic = present.every((value) => Number.isInteger(Math.log2(value)));
  const log = isRate(name) ? 10 : isDyadic ? 2 : "auto";
  const axis = axisOver(present, { log, label: name });
  const spread = (value, number) => (axis.log === 2 ? value * 2 ** jitter(number) : value);
  return { at: column, axis, spread };
}

function categoryAxis(column, present, name) {
  const choices = [...new Set(present.map(String))].sort();
  const axis = { min: -0.6, max: choices.length - 0.4, label: name, ticks: choices };
  const at = column.map((value) => (value === null ? null : choices.indexOf(String(value))));
  return { at, axis, spread: (value, number) => value + jitter(number) };
}

/** Moves equal values a little apart, each trial always by the same. @returns {number} −0.22 … 0.22 */
function jitter(number) {
  return (((number * 0.618034) % 1) - 0.5) * 0.44;
}

/**
 * Each completed trial's rank from 0 (worst) to 1 (best), −1 for others: colours then tell the good ones apart, whatever
 * the scale.
 */
function ranksOf(history) {
  const completed = history.values.map((value, index) => [value, index]).filter(([, index]) => history.states[index] === "completed");
  const known = completed.filter(([value]) => value !== null);
  known.sort(([a], [b]) => (history.direction === "maximize" ? a - b : b - a));
  const ranks = history.values.map(() => -1);
  known.forEach(([, index], rank) => (ranks[index] = known.length > 1 ? rank / (known.length - 1) : 1));
  return ranks;
}
