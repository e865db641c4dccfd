/** Two objectives against each other: the trials no other beats, and those that are beaten. */

import { formatNumber, formatParam } from "../format.js";
import { href } from "../router.js";
import { html, useMemo } from "../vendor/preact-htm.js";
import { color } from "./colors.js";
import { line, mark } from "./marks.js";
import { axisOver, clamp, Plot } from "./plot.js";

/** @typedef {{metric: string, direction: string}} Objective */

/**
 * @param {{front: object[], others: object[], objectives: Objective[], across: Objective, up: Objective}} props trials;
 *   the line along the front is drawn with two objectives only: with more it is a surface
 */
export function FrontChart({ front, others, objectives, across, up }) {
  const chart = useMemo(() => {
    const x = axisOf(across, [...front, ...others]);
    const y = axisOf(up, [...front, ...others]);
    const at = (trial) => [clamp(x, trial.values[across.metric]), clamp(y, trial.values[up.metric])];
    const edge = objectives.length === 2 ? staircase(front, across, up) : [];
    const paint = (canvas) => {
      for (const trial of others) mark(canvas, ...at(trial), { state: "completed", fill: color("muted"), alpha: 0.45 });
      line(canvas, edge.map(([across]) => across), edge.map(([, up]) => up), { stroke: color("accent"), width: 2, stepped: true });
      for (const trial of front) mark(canvas, ...at(trial), { state: "completed", fill: color("accent"), radius: 4.6, alpha: 1, edge: color("surface") });
    };
    const spots = [...others, ...front].map((trial) => spotOf(trial, at(trial), objectives));
    return { x, y, paint, spots };
  }, [front, others, objectives, across, up]);
  const label = `Pareto front: ${front.length} of ${front.length + others.length} trials shown are on it; ${up.metric} against ${across.metric}`;
  return html`<${Plot} ...${chart} height=${320} label=${label} />`;
}

function axisOf({ metric, direction }, trials) {
  const isMaximized = direction === "maximize";
  const label = `${metric} (${isMaximized ? "higher" : "lower"} is better)`;
  return axisOver(trials.map((trial) => trial.values[metric]), { label, clip: isMaximized ? "low" : "high" });
}

/** The corners of what the front reaches: from the best across to the worst, so that each step goes across, then up. */
function staircase(front, across, up) {
  const sign = across.direction === "maximize" ? -1 : 1;
  const corners = front.map((trial) => [trial.values[across.metric], trial.values[up.metric]]);
  return corners.sort(([a], [b]) => sign * (a - b));
}

function spotOf(trial, [x, y], objectives) {
  const tip = html`<strong>Trial ${trial.number}</strong>
    ${objectives.map(({ metric }) => html`<br />${metric} ${formatNumber(trial.values[metric])}`)}
    ${Object.entries(trial.params).map(([name, value]) => html`<br />${name} ${formatParam(value, name)}`)}`;
  return { x, y, tip, href: href(["jobs", trial.job_id, "trials", String(trial.number)]) };
}
