/** Charts of the learning-rate report. */

import { formatNumber, formatRate } from "../format.js";
import { html, useMemo } from "../vendor/preact-htm.js";
import { color } from "./colors.js";
import { line, mark, whisker } from "./marks.js";
import { axisOver, Plot } from "./plot.js";

/**
 * The best rate at each batch size with its interval, and the fitted law.
 *
 * @param {{rows: {batch_size: number, learning_rate: {value: number | null, low: number | null, high: number | null}}[],
 *   law: {a: {value: number | null}, b: {value: number | null}} | null}} props
 */
export function RateByBatchChart({ rows, law }) {
  const known = rows.filter((row) => row.learning_rate.value !== null);
  const chart = useMemo(() => {
    const rates = known.flatMap(({ learning_rate: { value, low, high } }) => [value, low ?? value, high ?? value]);
    const x = axisOver(known.map((row) => row.batch_size), { log: 2, label: "batch size" });
    const y = axisOver(rates, { log: 10, label: "learning rate" });
    const hasLaw = law && law.a.value !== null && law.b.value !== null;
    const paint = (canvas) => {
      if (hasLaw) {
        const ends = [x.min, x.max];
        const fitted = ends.map((batch) => 10 ** (law.a.value + law.b.value * Math.log10(batch)));
        line(canvas, ends, fitted, { stroke: color("accent"), width: 2, dash: [6, 4] });
      }
      for (const { batch_size: batch, learning_rate: rate } of known) {
        if (rate.low !== null && rate.high !== null) whisker(canvas, batch, rate.low, rate.high, color("muted"), rate.is_guess ? [2, 3] : []);
        // A guess is hollow: it must not pass for a measured rate, on paper either.
        const look = rate.is_guess ? { fill: color("surface"), edge: color("muted") } : { fill: color("completed") };
        mark(canvas, batch, rate.value, { state: "completed", radius: 5, alpha: 1, ...look });
      }
    };
    const spots = known.map(({ batch_size: batch, learning_rate: rate }) => ({
      x: batch,
      y: rate.value,
      tip: html`<strong>Batch size ${batch}</strong><br />best rate ${formatRate(rate.value)}
        ${rate.low !== null && html`<br />${formatRate(rate.low)} … ${formatRate(rate.high)}`}
        ${rate.is_guess && html`<br />a guess: ${rate.caveat}`}`,
    }));
    return { x, y, paint, spots };
  }, [rows, law]);
  if (known.length === 0) return html`<p class="note">Not enough trials at any batch size to say.</p>`;
  const slope = law?.b.value;
  const summary = typeof slope === "number" ? `; it grows as batch size to the power ${formatNumber(slope)}` : "";
  const guesses = known.filter((row) => row.learning_rate.is_guess);
  return html`<${Plot} ...${chart} label="Best learning rate at ${known.length} batch sizes${summary}" />
    ${guesses.length > 0 && html`<p class="note">Hollow and dotted: guesses (batch size ${guesses.map((row) => row.batch_size).join(", ")}); the table by batch size says why.</p>`}`;
}

/**
 * An LR range test: loss over the rate, each seed thin and their smoothed mean bold, and the three rates it finds.
 *
 * @param {{result: {batch_size: number | null, low: object | null, suggestion: object | null, high: object | null,
 *   curve: {learning_rate: number[], losses: (number | null)[][], smoothed: (number | null)[]}}}} props
 */
export function RangeTestChart({ result }) {
  const chart = useMemo(() => {
    const { learning_rate: rates, losses, smoothed } = result.curve;
    const x = axisOver(rates, { log: 10, label: "learning rate" });
    const y = axisOver(withoutExplosion(losses), { label: "loss" });
    const paint = (canvas) => {
      for (const sweep of losses) {
        const begun = sweep.findIndex((loss) => loss !== null);
        if (begun >= 0) line(canvas, rates.slice(begun, sweep.length), sweep.slice(begun), { stroke: color("muted"), width: 1, alpha: 0.55 });
      }
      line(canvas, rates, smoothed, { stroke: color("running"), width: 2.6 });
      for (const [name, ink] of [["low", "muted"], ["suggestion", "accent"], ["high", "infeasible"]]) {
        const rate = result[name]?.value;
        if (rate) line(canvas, [rate, rate], [y.min, y.max], { stroke: color(ink), width: 2, dash: name === "suggestion" ? [] : [5, 4] });
      }
    };
    const spots = rates.flatMap((rate, index) => {
      const loss = smoothed[index];
      return loss === null ? [] : [{ x: rate, y: loss, tip: html`rate ${formatRate(rate)}<br />loss ${formatNumber(loss)}` }];
    });
    return { x, y, paint, spots };
  }, [result]);
  return html`<${Plot} ...${chart} label="Loss over the learning rate at batch size ${result.batch_size}" />`;
}

/** Where training explodes the loss leaves the picture; the rest stays readable. @param {(number | null)[][]} losses */
function withoutExplosion(losses) {
  const start = Math.max(...losses.map((sweep) => Math.abs(sweep.find((loss) => loss !== null) ?? 1)), 1e-12);
  return losses.flat().filter((loss) => loss !== null && Number.isFinite(loss) && loss <= start * 2);
}
