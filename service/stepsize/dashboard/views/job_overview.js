/** A job in pictures. */

import { withQuery } from "../api.js";
import { CurvesChart } from "../charts/curves.js";
import { ColourScale, HistoryChart, MapChart, SliceChart, variedParams } from "../charts/search.js";
import { Chart, Choice, NOTHING_YET, Stroke } from "../components/chart_card.js";
import { formatCount } from "../format.js";
import { useResource, useThrottled } from "../hooks.js";
import { html, useMemo, useState } from "../vendor/preact-htm.js";
import { JobFront } from "./job_front.js";

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
    ${job.spec.objectives.length > 1 && html`<${JobFront} job=${job} version=${seen} />`}
    <section class="card wide">
      <header>
        <h2>History</h2>
        <span class="note">${history.data ? historyNote(history.data) : ""}</span>
      </header>
      <div class="body"><${Chart} resource=${history} what="the history" height=${260} isEmpty=${hasNoValue} why=${whyNoValue}>
        ${(data) => html`<${HistoryChart} history=${data} target=${target} />`}
      <//></div>
    </section>
    ${Object.keys(job.search_space_resolved).length > 1 && html`<${MapCard} history=${history} report=${report} />`}
    <${CurvesCard} job=${job} version=${seen} isWide=${Object.keys(job.search_space_resolved).length < 2} />
    <${SliceCard} history=${history} report=${report} />
  </div>`;
}

function hasNoValue({ values }) {
  return values.every((value) => value === null);
}

function whyNoValue({ n_trials: nTrials }) {
  return nTrials ? `None of the ${formatCount(nTrials)} trials that have ended has a value.` : NOTHING_YET;
}

function whyNoMap(history) {
  return hasNoValue(history) ? whyNoValue(history) : "Nothing to draw: a map needs two parameters of which several values were tried.";
}

function whyNoSlice(history) {
  return hasNoValue(history) ? whyNoValue(history) : "Nothing to draw: no parameter was tried at several values.";
}

/** Trials trained elsewhere may tell nothing but how they ended. */
function whyNoCurve({ n_trials: nTrials }, job) {
  if (job.finished_at === null) return "Nothing to draw yet: it begins with the first trial that reports.";
  return nTrials ? "Nothing to draw: no trial has reported how it went, there are only final values." : "Nothing to draw: the job ended without a trial.";
}

function historyNote({ n_trials: nTrials, numbers, metric }) {
  const thinned = numbers.length < nTrials ? `; ${formatCount(numbers.length)} of ${formatCount(nTrials)} shown, every improvement among them` : "";
  return `${metric} of each trial, and the best so far${thinned}`;
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
      <${Chart} resource=${history} what="the map" height=${300} isEmpty=${(data) => !across || !up || data.numbers.length === 0} why=${whyNoMap}>
        ${(data) => html`<${MapChart} history=${data} across=${across} up=${up} law=${report?.scaling_law} frontier=${report?.divergence?.frontier} />`}
      <//>
      ${history.data && !hasNoValue(history.data) && html`<div class="legend two-lines"><${ColourScale} metric=${history.data.metric} /><${MapLegend} report=${report} /></div>`}
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

function CurvesCard({ job, version, isWide }) {
  const metrics = [...new Set([job.spec.objectives[0].metric, ...Object.keys(job.best?.values ?? {})])];
  const [metric, setMetric] = useState(metrics[0]);
  const [pick, setPick] = useState("latest");
  const curves = useResource(withQuery(`/jobs/${job.id}/curves`, { metric, pick, max_points: MAX_CURVE_POINTS }), { version });
  return html`<section class="card ${isWide ? "wide" : ""}">
    <header>
      <h2>Learning curves</h2>
      <div class="actions aside">
        <${Choice} label="Trials" names=${["latest", "best"]} value=${pick} onChange=${setPick} />
        ${metrics.length > 1 && html`<${Choice} label="Metric" names=${metrics} value=${metric} onChange=${setMetric} />`}
      </div>
    </header>
    <div class="body stack">
      <${Chart} resource=${curves} what="learning curves" height=${300} isEmpty=${(data) => data.curves.every((curve) => curve.steps.length === 0)} why=${(data) => whyNoCurve(data, job)}>
        ${(data) => html`<${CurvesChart} curves=${data} best=${job.best?.number ?? null} />`}
      <//>
      ${curves.data?.curves.length > 0 && html`<p class="note">${curvesNote(curves.data, job.best?.number)}</p>`}
    </div>
  </section>`;
}

function curvesNote({ curves, n_trials: nTrials }, best) {
  const bold = curves.some((curve) => curve.number === best) ? "; the best is drawn bold" : "";
  const marked = curves.some((curve) => !["completed", "running"].includes(curve.state)) ? "; those that ended early end in a mark" : "";
  return `${formatCount(curves.length)} of ${formatCount(nTrials)} trials${bold}${marked}`;
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
      <${Chart} resource=${history} what="the slice" height=${260} isEmpty=${(data) => !along || hasNoValue(data)} why=${whyNoSlice}>
        ${(data) => html`<${SliceChart} history=${data} along=${along} plateau=${plateau} />`}
      <//>
    </div>
  </section>`;
}

function plateauOf(report) {
  const { plateau_low: low, plateau_high: high } = report?.sensitivity ?? {};
  return typeof low === "number" && typeof high === "number" ? [low, high] : null;
}

function preferred(names, name, otherwise) {
  return names.includes(name) ? name : names[otherwise];
}
