/** Learning curves: of several trials of a job, or of one. */

import { formatNumber, formatParam } from "../format.js";
import { href } from "../router.js";
import { html, useMemo } from "../vendor/preact-htm.js";
import { categoryColor, color } from "./colors.js";
import { line, mark } from "./marks.js";
import { axisOver, Plot } from "./plot.js";

/**
 * @typedef {{number: number, state: string, reason: string | null, params: Record<string, unknown>, steps: number[],
 *   values: number[]}} Curve
 */

/**
 * Curves of many trials: the best one stands out, those that ended early carry their state's mark.
 *
 * @param {{curves: {job_id: string, metric: string, direction: string | null, step_unit: string | null, curves: Curve[]},
 *   best: number | null}} props
 */
export function CurvesChart({ curves: answer, best }) {
  const chart = useMemo(() => {
    const curves = answer.curves.filter((curve) => curve.steps.length > 0);
    const y = axisOver(curves.flatMap((curve) => curve.values), { label: answer.metric });
    const x = axisOver(curves.flatMap((curve) => curve.steps), { log: "never", isWhole: true, label: answer.step_unit ?? "step" });
    const ordered = [...curves].sort((a, b) => (a.number === best) - (b.number === best));
    const paint = (canvas) => ordered.forEach((curve) => paintCurve(canvas, curve, curve.number === best));
    const spots = ordered.flatMap((curve) =>
      curve.steps.map((step, index) => ({
        x: step,
        y: curve.values[index],
        tip: curveTip(answer, curve, index),
        href: href(["jobs", answer.job_id, "trials", String(curve.number)]),
      })),
    );
    return { x, y, paint, spots };
  }, [answer, best]);
  return html`<${Plot} ...${chart} label="Learning curves of ${answer.curves.length} trials: ${answer.metric} by ${answer.step_unit}" />`;
}

function paintCurve(canvas, { steps, values, state }, isBest) {
  const ink = isBest ? color("accent") : color(state);
  const style = isBest ? { width: 3 } : { width: 1.3, alpha: state === "running" ? 0.9 : 0.5 };
  line(canvas, steps, values, { stroke: ink, ...style });
  if (steps.length === 1 || (state !== "completed" && state !== "running")) {
    mark(canvas, steps.at(-1), values.at(-1), { state, fill: ink, radius: 4 });
  }
}

function curveTip(answer, curve, index) {
  return html`<strong>Trial ${curve.number}</strong> ${curve.reason ?? curve.state}<br />
    ${answer.step_unit} ${curve.steps[index]}: ${answer.metric} ${formatNumber(curve.values[index])}
    ${Object.entries(curve.params).map(([name, value]) => html`<br />${name} ${formatParam(value, name)}`)}`;
}

/**
 * Lines that are compared, with a legend that names them.
 *
 * @param {{lines: {name: string, xs: number[], ys: (number | null)[], stepped?: boolean}[], xLabel: string, yLabel: string,
 *   height?: number}} props
 */
export function LinesChart({ lines, xLabel, yLabel, height }) {
  const chart = useMemo(() => {
    const ys = lines.flatMap((one) => one.ys.filter((value) => value !== null));
    const x = axisOver(lines.flatMap((one) => one.xs), { log: "never", isWhole: true, label: xLabel });
    const y = axisOver(ys, { label: yLabel });
    const paint = (canvas) =>
      lines.forEach((one, index) => {
        const ink = categoryColor(index);
        line(canvas, one.xs, one.ys, { stroke: ink, stepped: one.stepped });
        if (one.xs.length === 1 && one.ys[0] !== null) mark(canvas, one.xs[0], one.ys[0], { state: "completed", fill: ink });
      });
    const spots = lines.flatMap((one) =>
      one.xs.flatMap((x, index) => {
        if (one.ys[index] === null) return [];
        const tip = html`<strong>${one.name}</strong><br />${xLabel} ${formatNumber(x)}<br />${yLabel} ${formatNumber(one.ys[index])}`;
        return [{ x, y: one.ys[index], tip }];
      }),
    );
    return { x, y, paint, spots };
  }, [lines, xLabel, yLabel]);
  return html`<div class="stack">
    <${Plot} ...${chart} height=${height} label="${yLabel} by ${xLabel}: ${lines.map((one) => one.name).join(", ")}" />
    ${lines.length > 1 && html`<${Legend} names=${lines.map((one) => one.name)} />`}
  </div>`;
}

/** @param {{names: string[]}} props */
function Legend({ names }) {
  return html`<ul class="legend">
    ${names.map(
      (name, index) => html`<li class="badge">
        <svg viewBox="0 0 10 10" aria-hidden="true"><rect y="3" width="10" height="4" rx="2" fill=${categoryColor(index)} /></svg>${name}
      </li>`,
    )}
  </ul>`;
}
