/** Several jobs side by side: how fast each got how far, what it found, and in what they differ. */

import { get, Problem, withQuery } from "../api.js";
import { LinesChart } from "../charts/curves.js";
import { Empty, Loading, ProblemNote, Unavailable } from "../components/feedback.js";
import { Params, reasonsOf, Share, Table, Uncertain } from "../components/pieces.js";
import { ProgressBar, State } from "../components/state.js";
import { formatCount, formatValue, searchWords, words } from "../format.js";
import { useInterval, useResource, useTitle } from "../hooks.js";
import { href, setQuery } from "../router.js";
import { html, useCallback, useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { BandTable } from "./job_report.js";

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
      ${rest.map((job) => html`<option value=${job.id}>${job.name || job.id} · ${searchWords(job)}</option>`)}
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
    <section class="card recommendation">
      ${reports.error ? html`<${Unavailable} problem=${reports.error} />` : html`<p>${reports.data?.sentence ?? html`<span class="muted">Comparing the learning rates …</span>`}</p>`}
    </section>
    ${reports.data?.caveats.map((caveat) => html`<p class="warning" key=${caveat}>${caveat}</p>`)}
    ${axes.length > 1 && html`<p class="muted">Values of different objectives, data or trainers: each kind has a picture of its own.</p>`}
    ${axes.map((axis) => html`<${BestSoFar} key=${axis.name} ...${axis} />`)}
    <section class="card">
      <header><h2>Side by side</h2></header>
      <${SideBySide} rows=${rows} reports=${reports.error ? [] : reports.data?.jobs} />
    </section>
    ${reports.data?.tables.map((table) => html`<${SettingTable} key=${table.parameter} table=${table} />`)}
    ${reports.data?.pairs.length > 0 && html`<${JobPairs} report=${reports.data} />`}
    ${reports.data && html`<${RatesOfJobs} jobs=${reports.data.jobs} />`}
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
  // A cell of null has nothing to show, and a line of nothing else is left out.
  const said = ({ job }, show) => {
    if (!reports) return html`<span class="muted">…</span>`;
    const report = reports.find((one) => one.job_id === job.id);
    return report ? show(report) : null;
  };
  const estimated = (of, props) => (of.value === null && !of.caveat ? null : html`<${Uncertain} of=${of} ...${props} />`);
  const differing = differences(rows.map(({ job }) => job.spec));
  const line = (name, cell) => {
    const cells = rows.map(cell);
    if (cells.every((one) => one === null)) return null;
    return html`<tr key=${name}><th scope="row">${name}</th>${cells.map((one) => html`<td>${one ?? html`<span class="muted">–</span>`}</td>`)}</tr>`;
  };
  return html`<div class="table-scroll named" tabindex="0" role="region" aria-label="Jobs side by side">
    <table>
      <thead><tr><th scope="col"><span class="hidden-visually">Property</span></th>${rows.map(({ job }) => html`<th scope="col"><a href=${href(["jobs", job.id])}>${nameOf(job)}</a></th>`)}</tr></thead>
      <tbody>
        ${line("state", ({ job }) => html`<${State} state=${job.state} />`)}
        ${line("trials", ({ job }) => html`<div class="progress-cell"><${ProgressBar} progress=${job.progress} /><span class="small muted">${formatCount(job.progress.total)}</span></div>`)}
        ${line("best", ({ history }) => (history.best.length ? html`<strong class="number">${formatValue(history.best.at(-1))}</strong> <span class="small muted">${history.metric}</span>` : null))}
        ${line("found after", ({ history }) => (history.best.length ? foundAfter(history) : null))}
        ${line("parameters", ({ job }) => (job.best ? html`<${Params} params=${job.best.params} />` : null))}
        ${line("recommended rate", (row) => said(row, (one) => estimated(one.recommended_rate, { rate: true })))}
        ${line("at batch size", (row) => said(row, (one) => one.batch_size))}
        ${line("value at that rate", (row) => said(row, (one) => estimated(one.value)))}
        ${line("good region, decades", (row) => said(row, (one) => estimated(one.width_decades)))}
        ${differing.map((path) => line(path.join("."), ({ job }) => codeOf(path, valueAt(job.spec, path))))}
      </tbody>
    </table>
  </div>`;
}

/** The choices of one setting, as every report of several jobs has them: each one's best rate and value, and what differs. */
function SettingTable({ table }) {
  const name = words(table.parameter);
  const others = [...new Set(table.rows.flatMap((row) => Object.keys(row.where)))];
  const notes = reasonsOf(table.rows.flatMap((row) => [row.learning_rate, row.value, row.train_time_s]));
  return html`<section class="card">
    <header><h2>By ${name}</h2></header>
    <div class="body"><p>${table.sentence}</p></div>
    ${table.same_rows_as.length === 0 && html`<${Table} label="By ${name}" notes=${notes} texts=${others.map(words)} headings=${[name, ...others.map(words), "Trials", "Best learning rate", "At batch size", "Value there", "Seconds", "Diverged"]}>
      ${table.rows.map(
        (row) => html`<tr>
          <th scope="row">${String(row.choice)}</th>
          ${others.map((other) => html`<td>${shown(row.where[other])}</td>`)}
          <td class="number">${formatCount(row.n_trials)}</td>
          <td class="number"><${Uncertain} of=${row.learning_rate} notes=${notes} rate /></td>
          <td class="number">${shown(row.batch_size)}</td>
          <td class="number"><${Uncertain} of=${row.value} notes=${notes} /> <span class="small muted">${row.objective.metric}</span></td>
          <td class="number"><${Uncertain} of=${row.train_time_s} notes=${notes} /></td>
          <td class="number"><${Share} of=${row.diverged_share} /></td>
        </tr>`,
      )}
    <//>`}
    ${table.pairs.length > 0 && html`<${Pairs} label="By ${name}, two by two" pairs=${table.pairs} names=${table.pairs.map((pair) => pair.rows.map((at) => rowName(table.rows[at])))} />`}
    ${table.caveat && html`<div class="body"><p class="note">${sentenceOf(table.caveat)}</p></div>`}
  </section>`;
}

/** Rows or jobs two by two: how many times higher the second's best rate is, by how much its value is better, in words. */
function Pairs({ label, pairs, names }) {
  const notes = reasonsOf(pairs.flatMap((pair) => [pair.rate_ratio, pair.improvement]));
  const more = pairs.length - MAX_PAIRS;
  return html`<${Table} label=${label} notes=${notes} texts=${["Second", "So"]} headings=${["First", "Second", "Times the rate", "At batch size", "Better by", "So"]}>
      ${pairs.slice(0, MAX_PAIRS).map(
        (pair, at) => html`<tr>
          <th scope="row" class="long">${names[at][0]}</th>
          <th scope="row" class="long">${names[at][1]}</th>
          <td class="number"><${Uncertain} of=${pair.rate_ratio} notes=${notes} /></td>
          <td class="number">${shown(pair.batch_size)}</td>
          <td class="number"><${Uncertain} of=${pair.improvement} notes=${notes} /></td>
          <td class="sentence">${pair.sentence}</td>
        </tr>`,
      )}
    <//>
    ${more > 0 && html`<div class="body"><p class="note">${formatCount(more)} more pairs are in the JSON.</p></div>`}`;
}

/** The jobs themselves two by two. */
function JobPairs({ report }) {
  const nameOfId = (id) => report.jobs.find((job) => job.job_id === id)?.job_name || id;
  return html`<section class="card">
    <header><h2>Jobs two by two</h2></header>
    <${Pairs} label="Jobs two by two" pairs=${report.pairs} names=${report.pairs.map((pair) => pair.job_ids.map(nameOfId))} />
  </section>`;
}

/** What happens at which rate, for each job. */
function RatesOfJobs({ jobs }) {
  return jobs.map(
    (job) => html`<details class="card" key=${job.job_id}>
      <summary>By learning rate: ${job.job_name || job.job_id}</summary>
      ${job.by_learning_rate.bands.length ? html`<${BandTable} bands=${job.by_learning_rate.bands} metric=${job.objective.metric} />` : html`<div class="body"><p class="note">${job.by_learning_rate.caveat}</p></div>`}
    </details>`,
  );
}

function rowName(row) {
  const others = Object.values(row.where).filter((value) => value !== null && value !== undefined);
  return others.length ? `${row.choice} (${others.join(", ")})` : String(row.choice);
}

function shown(value) {
  return value === null || value === undefined ? "–" : String(value);
}

function sentenceOf(caveat) {
  return `${caveat[0].toUpperCase()}${caveat.slice(1)}.`;
}

function foundAfter({ best, numbers }) {
  const n = numbers[best.indexOf(best.at(-1))] + 1;
  return `${formatCount(n)} ${n === 1 ? "trial" : "trials"}`;
}

/** Paths in which specs differ, names and labels apart; null is nothing, as if it weren't there. @param {object[]} specs @returns {string[][]} */
function differences(specs) {
  const paths = new Map(specs.flatMap((spec) => leaves(spec)).map((path) => [JSON.stringify(path), path]));
  const isTold = ([first]) => first !== "name" && first !== "labels";
  return [...paths.values()].filter((path) => isTold(path) && new Set(specs.map((spec) => JSON.stringify(valueAt(spec, path) ?? null))).size > 1);
}

/** Paths of what a specification says; a searched parameter's range is one of them. A parameter's name may have dots in it. */
function leaves(value, path = []) {
  if (value === null) return [];
  if (typeof value !== "object" || Array.isArray(value) || isRange(path)) return [path];
  return Object.entries(value).flatMap(([name, member]) => leaves(member, [...path, name]));
}

function isRange([first, name]) {
  return first === "search_space" && name !== undefined;
}

function valueAt(spec, path) {
  return path.reduce((value, name) => value?.[name], spec);
}

function codeOf(path, value) {
  if (value === undefined || value === null) return null;
  if (isRange(path)) return html`<code>${rangeText(value)}</code>`;
  if (path[0] === "objectives") return html`<code>${value.map(objectiveText).join(", ")}</code>`;
  return html`<code>${typeof value === "string" ? value : JSON.stringify(value)}</code>`;
}

/** What is searched, as short as it can be told, e.g. `0.0001 … 1, log`. */
function rangeText({ type, low, high, choices, log, step, powers_of_two: powers, range_test: isMeasured, when }) {
  const range = choices ? choices.join(", ") : isMeasured ? "by a range test" : `${low} … ${high}`;
  const isStepped = step && !(type === "int" && step === 1);
  return [range, log && "log", powers && "powers of two", isStepped && `step ${step}`, when && `when ${JSON.stringify(when)}`].filter(Boolean).join(", ");
}

function objectiveText({ metric, direction, target }) {
  return `${direction} ${metric}${target === null ? "" : ` to ${target}`}`;
}

function nameOf(job) {
  return job.name || job.id;
}
