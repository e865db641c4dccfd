/** A job in pictures. */

import { withQuery } from "../api.js";
import { CurvesChart } from "../charts/curves.js";
import { ColourScale, HistoryChart, MapChart, SliceChart, variedParams } from "../charts/search.js";
import { Loading, Unavailable } from "../components/feedback.js";
import { formatCount } from "../format.js";
import { useResource, useThrottled } from "../hooks.js";
import { html, useMemo, useState } from "../vendor/preact-htm.js";

const REDRAW_MS = 1500;
const REPORT_MS = 10_000;
const MAX_HISTORY_POINTS = 1000;
const MAX_CURVE_POINTS = 60;

/** @param {{job: object, version: number}} props */
export function JobOverview({ job, version }) {
  const seen = useThrottled(version, REDRAW_MS);
  const history = useResource(withQuery(`/jobs/${job.id}/history`, { max_points: MAX_HISTORY_POINTS }), { version: seen });
  const target = job.spec.objectives[0].target;
  // What the report says is drawn into the pictures; without it they are just pictures.
  const report = useResource(`/jobs/${job.id}/report`, { version: useThrottled(job.revision, REPORT_MS) }).data;
  return html`<div class="grid-2">
    <section class="card wide">
      <header>
        <h2>History</h2>
        <span class="note">${history.data ? historyNote(history.data) : ""}</span>
      </header>
      <div class="body"><${Chart} resource=${history} what="the history" height=${260} isEmpty=${(data) => data.numbers.length === 0}>
        ${(data) => html`<${HistoryChart} history=${data} target=${target} />`}
      <//></div>
    </section>
    <${MapCard} history=${history} report=${report} />
    <${CurvesCard} job=${job} version=${seen} />
    <${SliceCard} history=${history} report=${report} />
  </div>`;
}

function historyNote({ n_trials: nTrials, numbers, metric }) {
  const thinned = numbers.length < nTrials ? `; ${formatCount(numbers.length)} of ${formatCount(nTrials)} shown, every improvement among them` : "";
  return `${metric} of each trial, and the best so far${thinned}`;
}

/** A chart of something loaded, with the same height whatever there is to say. */
function Chart({ resource, what, height, isEmpty, children }) {
  if (resource.error && !resource.data) return html`<${Unavailable} problem=${resource.error} />`;
  if (!resource.data) return html`<${Loading} what=${what} height=${height} />`;
  if (isEmpty(resource.data)) {
    return html`<div class="empty" style=${{ minHeight: `${height}px`, alignContent: "center" }}><p>Nothing to draw yet: it begins with the first trial that ends.</p></div>`;
  }
  return children(resource.data);
}

function MapCard({ history, report }) {
  const names = history.data ? variedParams(history.data) : [];
  const [chosen, setChosen] = useState({});
  const across = chosen.across ?? preferred(names, "learning_rate", 0);
  const up = chosen.up ?? preferred(names.filter((name) => name !== across), "batch_size", 0);
  return html`<section class="card">
    <header>
      <h2>${across === "learning_rate" && up === "batch_size" ? "Learning rate × batch size" : "Map of two parameters"}</h2>
      ${
        names.length > 2 &&
        html`<div class="actions aside">
          <${Choice} label="Across" names=${names} value=${across} onChange=${(name) => setChosen({ across: name, up })} />
          <${Choice} label="Up" names=${names} value=${up} onChange=${(name) => setChosen({ across, up: name })} />
        </div>`
      }
    </header>
    <div class="body stack">
      <${Chart} resource=${history} what="the map" height=${300} isEmpty=${() => !across || !up}>
        ${(data) => html`<${MapChart} history=${data} across=${across} up=${up} law=${report?.scaling_law} frontier=${report?.divergence?.frontier} />`}
      <//>
      ${history.data && html`<div class="legend"><${ColourScale} metric=${history.data.metric} direction=${history.data.direction} /><${MapLegend} report=${report} /></div>`}
    </div>
  </section>`;
}

function MapLegend({ report }) {
  const hasLaw = typeof report?.scaling_law?.b?.value === "number";
  const focus = Object.entries(report?.focus ?? {}).map(([name, value]) => `, ${name} ${value}`).join("");
  const hasFrontier = report?.divergence?.frontier?.some((place) => place.learning_rate.value !== null);
  return html`
    ${hasLaw && html`<span class="note"><${Stroke} tone="--accent" /> best rate by batch size${focus}</span>`}
    ${hasFrontier && html`<span class="note"><${Stroke} tone="--infeasible" dash="4 3" /> divergence edge</span>`}
  `;
}

function Stroke({ tone, dash = "none" }) {
  return html`<svg width="22" height="8" aria-hidden="true"><path d="M0 4h22" stroke="var(${tone})" stroke-width="2" stroke-dasharray=${dash} /></svg>`;
}

function CurvesCard({ job, version }) {
  const metrics = [...new Set([job.spec.objectives[0].metric, ...Object.keys(job.best?.values ?? {})])];
  const [metric, setMetric] = useState(metrics[0]);
  const [pick, setPick] = useState("latest");
  const curves = useResource(withQuery(`/jobs/${job.id}/curves`, { metric, pick, max_points: MAX_CURVE_POINTS }), { version });
  return html`<section class="card">
    <header>
      <h2>Learning curves</h2>
      <div class="actions aside">
        <${Choice} label="Trials" names=${["latest", "best"]} value=${pick} onChange=${setPick} />
        ${metrics.length > 1 && html`<${Choice} label="Metric" names=${metrics} value=${metric} onChange=${setMetric} />`}
      </div>
    </header>
    <div class="body stack">
      <${Chart} resource=${curves} what="learning curves" height=${300} isEmpty=${(data) => data.curves.every((curve) => curve.steps.length === 0)}>
        ${(data) => html`<${CurvesChart} curves=${data} best=${job.best?.number ?? null} />`}
      <//>
      ${curves.data && html`<p class="note">${formatCount(curves.data.curves.length)} of ${formatCount(curves.data.n_trials)} trials; the best is drawn bold, pruned and diverged ones end in a mark.</p>`}
    </div>
  </section>`;
}

function SliceCard({ history, report }) {
  const names = history.data ? variedParams(history.data) : [];
  const [chosen, setChosen] = useState(null);
  const along = chosen ?? preferred(names, "learning_rate", 0);
  const plateau = useMemo(() => plateauOf(report), [report]);
  return html`<section class="card wide">
    <header>
      <h2>Slice along ${along ?? "a parameter"}</h2>
      ${plateau && along === "learning_rate" && html`<span class="note">the good region is shaded</span>`}
      ${names.length > 1 && html`<div class="actions aside"><${Choice} label="Parameter" names=${names} value=${along} onChange=${setChosen} /></div>`}
    </header>
    <div class="body">
      <${Chart} resource=${history} what="the slice" height=${260} isEmpty=${() => !along}>
        ${(data) => html`<${SliceChart} history=${data} along=${along} plateau=${plateau} />`}
      <//>
    </div>
  </section>`;
}

function plateauOf(report) {
  const { plateau_low: low, plateau_high: high } = report?.sensitivity ?? {};
  return typeof low === "number" && typeof high === "number" ? [low, high] : null;
}

function Choice({ label, names, value, onChange }) {
  return html`<select class="tight" aria-label=${label} value=${value} onChange=${(event) => onChange(event.target.value)}>
    ${names.map((name) => html`<option value=${name} selected=${name === value}>${name}</option>`)}
  </select>`;
}

function preferred(names, name, otherwise) {
  return names.includes(name) ? name : names[otherwise];
}
