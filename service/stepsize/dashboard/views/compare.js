/** Several jobs side by side: how fast each got how far, what it found, and in what they differ. */

import { get, Problem, withQuery } from "../api.js";
import { LinesChart } from "../charts/curves.js";
import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Params, Uncertain } from "../components/pieces.js";
import { ProgressBar, State } from "../components/state.js";
import { formatCount, formatRate, formatValue, words } from "../format.js";
import { useInterval, useResource, useTitle } from "../hooks.js";
import { href, setQuery } from "../router.js";
import { html, useCallback, useEffect, useMemo, useState } from "../vendor/preact-htm.js";

const REFRESH_MS = 3000;
const MAX_POINTS = 400;

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
  const lines = useMemo(
    () => rows?.map(({ job, history }) => ({ name: nameOf(job), xs: history.numbers.map((number) => number + 1), ys: history.best, stepped: true })),
    [rows],
  );
  const reports = useResource(withQuery("/reports", { job: ids }));
  if (problem) return html`<${ProblemNote} problem=${problem} />`;
  if (!rows) return html`<${Loading} what="the jobs" height=${420} />`;
  const metrics = [...new Set(rows.map(({ history }) => history.metric))];
  return html`<div class="stack">
    ${!reports.error && html`<section class="card recommendation"><p>${reports.data?.sentence ?? html`<span class="muted">Comparing the learning rates …</span>`}</p></section>`}
    <section class="card">
      <header><h2>Best so far</h2><span class="note">${metrics.join(", ")} by number of trials</span></header>
      <div class="body">
        ${metrics.length > 1 && html`<p class="warning">These jobs have different objectives; their values can't be compared.</p>`}
        <${LinesChart} lines=${lines} xLabel="trials" yLabel=${metrics.join(" / ")} height=${320} />
      </div>
    </section>
    <section class="card">
      <header><h2>Side by side</h2></header>
      <${SideBySide} rows=${rows} reports=${reports.error ? [] : reports.data?.jobs} />
    </section>
    ${reports.data?.by_setting.length > 0 && html`<${BySetting} groups=${reports.data.by_setting} />`}
  </div>`;
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

/** The best rates by what tells the jobs apart: task, data set, architecture, activation. */
function BySetting({ groups }) {
  return html`<section class="card">
    <header><h2>Best learning rate by setting</h2></header>
    <div class="table-scroll" tabindex="0" role="region" aria-label="Best learning rate by setting">
      <table>
        <thead><tr><th scope="col">Setting</th><th scope="col">Choice</th><th scope="col" class="number">Jobs</th><th scope="col" class="number">Typical rate</th><th scope="col" class="number">From</th><th scope="col" class="number">To</th></tr></thead>
        <tbody>
          ${groups.map(
            (group) => html`<tr>
              <th scope="row">${words(group.parameter)}</th>
              <td>${group.choice ?? html`<span class="muted">not set</span>`}</td>
              <td class="number">${formatCount(group.job_ids.length)}</td>
              ${[group.typical_rate, group.lowest_rate, group.highest_rate].map((rate) => html`<td class="number">${rate === null ? "–" : formatRate(rate)}</td>`)}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
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
