/** Several jobs side by side: how fast each got how far, what it found, and in what they differ. */

import { get, Problem, withQuery } from "../api.js";
import { LinesChart } from "../charts/curves.js";
import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Params, Uncertain } from "../components/pieces.js";
import { ProgressBar, State } from "../components/state.js";
import { formatCount, formatValue, words } from "../format.js";
import { useInterval, useResource, useTitle } from "../hooks.js";
import { href, setQuery } from "../router.js";
import { html, useCallback, useEffect, useMemo, useState } from "../vendor/preact-htm.js";

const REFRESH_MS = 3000;
const MAX_POINTS = 400;
const MAX_PAIRS = 28;
/** What trainers call that which is learned from: values of other data stand on another axis. */
const DATA = ["dataset", "environment", "game"];

/** @param {{query: URLSearchParams}} props */
export function CompareView({ query }) {
  useTitle("Compare");
  const ids = (query.get("jobs") ?? "").split(",").filter(Boolean);
  const choose = (chosen) => setQuery({ jobs: chosen.join(",") });
  return html`<div class="page">
    <div class="page-head"><h1>Compare</h1></div>
    <${Picker} ids=${ids} onChoose=${choose} />
    ${ids.length > 0 && html`<${Comparison} key=${ids.join()} ids=${ids} />`}
  </div>`;
}

function Picker({ ids, onChoose }) {
  const jobs = useResource(withQuery("/jobs", { limit: 100 }));
  const items = jobs.data?.items ?? [];
  if (jobs.error) return html`<${ProblemNote} problem=${jobs.error} onRetry=${jobs.reload} />`;
  if (jobs.data && items.length === 0) {
    return html`<section class="card"><${Empty} title="Nothing to compare yet"><p>Submit two jobs, say one with <code>tpe</code> and one with <code>random</code>, and see here which gets further in fewer trials.</p><a class="button primary" href="#/new">New job</a><//></section>`;
  }
  const rest = items.filter((job) => !ids.includes(job.id));
  return html`<div class="filters">
    ${ids.map((id) => {
      const name = items.find((job) => job.id === id)?.name || id;
      return html`<button class="button tight" onClick=${() => onChoose(ids.filter((one) => one !== id))} aria-label="Remove ${name}">${name} <span aria-hidden="true">×</span></button>`;
    })}
    <select aria-label="Add a job" value="" onChange=${(event) => event.target.value && onChoose([...ids, event.target.value])}>
      <option value="">Add a job …</option>
      ${rest.map((job) => html`<option value=${job.id}>${job.name || job.id} · ${job.spec.sampler.name}</option>`)}
    </select>
  </div>`;
}

function Comparison({ ids }) {
  const { rows, problem } = useJobsWithHistory(ids);
  const reports = useResource(withQuery("/reports", { job: ids }));
  const axes = useMemo(() => (rows ? byAxis(rows) : []), [rows]);
  if (problem) return html`<${ProblemNote} problem=${problem} />`;
  if (!rows) return html`<${Loading} what="the jobs" height=${420} />`;
  return html`<div class="stack">
    ${!reports.error && html`<section class="card recommendation"><p>${reports.data?.sentence ?? html`<span class="muted">Comparing the learning rates …</span>`}</p></section>`}
    ${axes.length > 1 && html`<p class="warning">These jobs have different objectives, data or trainers; their values can't be compared, so each kind has a picture of its own.</p>`}
    ${axes.map((axis) => html`<${BestSoFar} key=${axis.name} ...${axis} />`)}
    <section class="card">
      <header><h2>Side by side</h2></header>
      <${SideBySide} rows=${rows} reports=${reports.error ? [] : reports.data?.jobs} />
    </section>
    ${reports.data?.tables.map((table) => html`<${SettingTable} key=${table.parameter} table=${table} />`)}
  </div>`;
}

/** Jobs whose values can stand on one axis: metric, direction, trainer and data are the same. */
function byAxis(rows) {
  const axes = new Map();
  for (const row of rows) {
    const { objectives, trainer } = row.job.spec;
    const name = [row.history.metric, objectives?.[0]?.direction, trainer.name, ...DATA.map((one) => trainer.params[one])].filter(Boolean).join(", ");
    axes.set(name, [...(axes.get(name) ?? []), row]);
  }
  return [...axes].map(([name, members]) => ({ name, rows: members }));
}

function BestSoFar({ name, rows }) {
  const lines = useMemo(
    () => rows.map(({ job, history }) => ({ name: nameOf(job), xs: history.numbers.map((number) => number + 1), ys: history.best, stepped: true })),
    [rows],
  );
  return html`<section class="card">
    <header><h2>Best so far</h2><span class="note">${name}, by number of trials</span></header>
    <div class="body"><${LinesChart} lines=${lines} xLabel="trials" yLabel=${rows[0].history.metric} height=${320} /></div>
  </section>`;
}

/** Jobs and their histories, loaded again while one of them goes on. */
function useJobsWithHistory(ids) {
  const [state, setState] = useState({ rows: null, problem: null });
  const load = useCallback(() => {
    const loadOne = async (id) => ({
      job: await get(`/jobs/${id}`),
      history: await get(withQuery(`/jobs/${id}/history`, { max_points: MAX_POINTS })),
    });
    Promise.all(ids.map(loadOne)).then(
      (rows) => setState({ rows, problem: null }),
      (error) => {
        if (!(error instanceof Problem)) throw error;
        setState((before) => ({ ...before, problem: error }));
      },
    );
  }, [ids.join()]);
  useEffect(load, [load]);
  useInterval(load, !state.rows || state.rows.some(({ job }) => job.finished_at === null) ? REFRESH_MS : undefined);
  return state;
}

function SideBySide({ rows, reports }) {
  const said = ({ job }, show) => {
    const report = reports?.find((one) => one.job_id === job.id);
    return report ? show(report) : html`<span class="muted">${reports ? "–" : "…"}</span>`;
  };
  const differing = differences(rows.map(({ job }) => job.spec));
  const line = (name, cell) => html`<tr><th scope="row">${name}</th>${rows.map((row) => html`<td>${cell(row)}</td>`)}</tr>`;
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Jobs side by side">
    <table>
      <thead><tr><th scope="col"><span class="hidden-visually">Property</span></th>${rows.map(({ job }) => html`<th scope="col"><a href=${href(["jobs", job.id])}>${nameOf(job)}</a></th>`)}</tr></thead>
      <tbody>
        ${line("state", ({ job }) => html`<${State} state=${job.state} />`)}
        ${line("trials", ({ job }) => html`<div class="progress-cell"><${ProgressBar} progress=${job.progress} /><span class="small muted">${formatCount(job.progress.total)}</span></div>`)}
        ${line("best", ({ history }) => html`<strong class="number">${formatValue(history.best.at(-1))}</strong> <span class="small muted">${history.metric}</span>`)}
        ${line("found after", ({ history }) => (history.best.length ? `${foundAfter(history)} trials` : "–"))}
        ${line("parameters", ({ job }) => (job.best ? html`<${Params} params=${job.best.params} />` : "–"))}
        ${line("recommended rate", (row) => said(row, (one) => html`<${Uncertain} of=${one.recommended_rate} rate />`))}
        ${line("at batch size", (row) => said(row, (one) => one.batch_size ?? "–"))}
        ${line("value at that rate", (row) => said(row, (one) => html`<${Uncertain} of=${one.value} />`))}
        ${line("good region, decades", (row) => said(row, (one) => html`<${Uncertain} of=${one.width_decades} />`))}
        ${differing.map((path) => line(path, ({ job }) => html`<code>${shortJson(valueAt(job.spec, path))}</code>`))}
      </tbody>
    </table>
  </div>`;
}

/** The choices of one setting: the best rate, the value there and the training time of each, and what differs. */
function SettingTable({ table }) {
  const name = words(table.parameter);
  const others = [...new Set(table.rows.flatMap((row) => Object.keys(row.where)))];
  return html`<section class="card">
    <header><h2>By ${name}</h2></header>
    <div class="body"><p>${table.sentence}</p></div>
    <div class="table-scroll" tabindex="0" role="region" aria-label="By ${name}">
      <table>
        <thead><tr><th scope="col">${name}</th>${others.map((other) => html`<th scope="col">${words(other)}</th>`)}<th scope="col">Trials</th><th scope="col">Best learning rate</th><th scope="col">At batch size</th><th scope="col">Value there</th><th scope="col">Seconds</th></tr></thead>
        <tbody>
          ${table.rows.map(
            (row) => html`<tr>
              <th scope="row">${String(row.choice)}</th>
              ${others.map((other) => html`<td>${row.where[other] === null || row.where[other] === undefined ? "–" : String(row.where[other])}</td>`)}
              <td>${formatCount(row.n_trials)}</td>
              <td><${Uncertain} of=${row.learning_rate} rate /></td>
              <td>${row.batch_size ?? "–"}</td>
              <td><${Uncertain} of=${row.value} /> <span class="small muted">${row.objective.metric}</span></td>
              <td><${Uncertain} of=${row.train_time_s} /></td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${table.pairs.length > 0 && html`<div class="body"><ul>${table.pairs.slice(0, MAX_PAIRS).map((pair) => html`<li>${pair.sentence}</li>`)}</ul>${table.pairs.length > MAX_PAIRS && html`<p class="small muted">${formatCount(table.pairs.length - MAX_PAIRS)} more pairs are in the JSON.</p>`}</div>`}
  </section>`;
}

function foundAfter({ best, numbers }) {
  return formatCount(numbers[best.indexOf(best.at(-1))] + 1);
}

/** Paths of the leaves in which specs differ, names and labels apart. @param {object[]} specs @returns {string[]} */
function differences(specs) {
  const paths = [...new Set(specs.flatMap((spec) => leaves(spec)))];
  return paths.filter((path) => !/^(name|labels)/.test(path) && new Set(specs.map((spec) => JSON.stringify(valueAt(spec, path)))).size > 1);
}

function leaves(value, prefix = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [prefix];
  return Object.entries(value).flatMap(([name, member]) => leaves(member, prefix ? `${prefix}.${name}` : name));
}

function valueAt(spec, path) {
  return path.split(".").reduce((value, name) => value?.[name], spec);
}

function shortJson(value) {
  if (value === undefined || value === null) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function nameOf(job) {
  return job.name || job.id;
}
