/** The trials of a job: filtered, sorted and paged by the server, so that ten thousand are as quick as ten. */

import { withQuery } from "../api.js";
import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Pager, SortHeading } from "../components/pieces.js";
import { State, TRIAL_STATES, wordsOf } from "../components/state.js";
import { formatDuration, formatParam, formatValue } from "../format.js";
import { usePages, useThrottled } from "../hooks.js";
import { href, setQuery } from "../router.js";
import { html, useEffect, useState } from "../vendor/preact-htm.js";

const PAGE = 50;
const REFRESH_MS = 1500;

/** @param {{job: object, version: number, trials: Map<number, object>, query: URLSearchParams}} props */
export function JobTrials({ job, version, trials, query }) {
  const state = query.get("state") ?? "";
  const sort = query.get("sort") ?? "-number";
  const filter = query.get("filter") ?? "";
  const filters = filter.split(",").map((one) => one.trim()).filter(Boolean);
  const [text, setText] = useState(filter);
  const choose = (changes) => setQuery(changes);
  useEffect(() => setText(filter), [filter]);

  const path = withQuery(`/jobs/${job.id}/trials`, { state, sort, filter: filters, limit: PAGE });
  const pages = usePages(path, { version: useThrottled(version, REFRESH_MS) });
  const { items, error } = pages;
  const isNewestFirst = sort === "-number" && !state && !filter && pages.number === 1;
  const params = Object.keys(job.search_space_resolved);
  const metrics = metricsOf(job, items ?? []);
  return html`<section class="card" aria-label="Trials" aria-busy=${pages.isLoading}>
    <header>
      <form class="filters" role="search" onSubmit=${(event) => (event.preventDefault(), choose({ filter: text }))}>
        <select aria-label="State" onChange=${(event) => choose({ state: event.target.value })}>
          <option value="">Every state</option>
          ${TRIAL_STATES.map((one) => html`<option value=${one} selected=${one === state}>${one}</option>`)}
        </select>
        <input type="search" aria-label="Filter" aria-invalid=${error?.status === 422} value=${text} onInput=${(event) => setText(event.target.value)} placeholder="params.learning_rate>=1e-3" title="Conditions, separated by commas: params.NAME or values.NAME, then = != < <= > >=, then a value" />
        <button class="button">Filter</button>
      </form>
      <a class="button quiet aside" href="/v1/jobs/${job.id}/export?format=csv" download>CSV</a>
    </header>
    ${error && html`<div class="body"><${ProblemNote} problem=${error} onRetry=${pages.reload} /></div>`}
    ${!items && !error && html`<div class="body"><${Loading} what="trials" height=${420} /></div>`}
    ${items && html`<${TrialTable} job=${job} rows=${withNewest(items, trials, { isNewestFirst })} recent=${trials} params=${params} metrics=${metrics} sort=${sort} onSort=${(next) => choose({ sort: next })} />`}
    ${items?.length === 0 && html`<${NoTrials} isFiltered=${Boolean(filter || state)} />`}
    <${Pager} pages=${pages} />
  </section>`;
}

/** New trials appear on top at once; the server's page follows a moment later. */
function withNewest(rows, recent, { isNewestFirst }) {
  if (!isNewestFirst || rows.length === 0) return rows;
  const newer = [...recent.values()].filter((trial) => trial.number > rows[0].number);
  return [...newer.sort((a, b) => b.number - a.number), ...rows].slice(0, PAGE);
}

function TrialTable({ job, rows, recent, params, metrics, sort, onSort }) {
  const heading = (field, name, number = true) => html`<${SortHeading} field=${field} sort=${sort} onSort=${onSort} number=${number}>${name}<//>`;
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Table of trials">
    <table>
      <thead>
        <tr>
          ${heading("number", "Trial")}
          <th scope="col">State</th>
          ${metrics.map((metric) => heading(`values.${metric}`, metric))}
          ${params.map((name) => heading(`params.${name}`, name))}
          ${rows.some((row) => row.group) && html`<th scope="col">Group</th>`}
          ${heading("step", "Step")}
          ${heading("duration_s", "Took")}
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) => html`<${TrialRow} key=${row.number} jobId=${job.id} trial=${recent.get(row.number) ?? row} params=${params} metrics=${metrics} isBest=${job.best?.number === row.number} hasGroups=${rows.some((one) => one.group)} />`)}
      </tbody>
    </table>
  </div>`;
}

function TrialRow({ jobId, trial, params, metrics, isBest, hasGroups }) {
  return html`<tr class="clickable">
    <td class="number"><a href=${href(["jobs", jobId, "trials", String(trial.number)])}>${trial.number}</a>${isBest && html` <span class="label">best</span>`}</td>
    <td><${State} state=${trial.state} reason=${trial.reason} />${trial.error && html`<span class="words">${wordsOf(trial.error)}</span>`}</td>
    ${metrics.map((metric) => html`<td class="number">${formatValue(trial.values[metric])}</td>`)}
    ${params.map((name) => html`<td class="number">${name in trial.params ? formatParam(trial.params[name], name) : html`<span class="muted">–</span>`}</td>`)}
    ${hasGroups && html`<td>${trial.group?.how === "fused" ? trial.group.id : (trial.group?.how ?? "–")}</td>`}
    <td class="number">${trial.step ?? "–"}</td>
    <td class="number">${formatDuration(trial.duration_s)}</td>
  </tr>`;
}

function NoTrials({ isFiltered }) {
  return isFiltered
    ? html`<${Empty} title="No trial like that"><p>Conditions look like <code>${"values.loss<0.1"}</code> or <code>params.optimizer=adam</code>; several are separated by commas.</p><//>`
    : html`<${Empty} title="No trial yet"><p>The first one starts as soon as a worker has a free slot.</p><//>`;
}

/** The objectives first, then what else trials report and is no parameter; few enough to fit. */
function metricsOf(job, rows) {
  const objectives = job.spec.objectives.map((objective) => objective.metric);
  const others = rows.flatMap((trial) => Object.keys(trial.values)).filter((name) => !(name in job.search_space_resolved));
  return [...new Set([...objectives, ...others])].slice(0, 5);
}
