/** All jobs: state, progress and best, kept up to date. */

import { withQuery } from "../api.js";
import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Code, Params } from "../components/pieces.js";
import { JOB_STATES, ProgressBar, State } from "../components/state.js";
import { Ago, formatCount, formatDuration, formatValue } from "../format.js";
import { useResource } from "../hooks.js";
import { go, href, setQuery } from "../router.js";
import { html, useState } from "../vendor/preact-htm.js";

const REFRESH_MS = 2000;
const SORTS = { "-created_at": "Newest", "-started_at": "Started last", "-priority": "Priority", name: "Name", state: "State" };

/** @param {{query: URLSearchParams}} props */
export function JobsView({ query }) {
  const [limit, setLimit] = useState(50);
  const state = query.get("state") ?? "";
  const sort = query.get("sort") ?? "-created_at";
  const text = query.get("q") ?? "";
  const jobs = useResource(withQuery("/jobs", { state, sort, limit }), { everyMs: REFRESH_MS });
  const [picked, setPicked] = useState(() => new Set());
  const items = (jobs.data?.items ?? []).filter((job) => matches(job, text));
  const pick = (id) => setPicked((before) => toggled(before, id));

  return html`<div class="page">
    <div class="page-head">
      <h1>Jobs</h1>
      <div class="actions">
        <button class="button" disabled=${picked.size < 2} onClick=${() => go(href(["compare"], { jobs: [...picked].join(",") }))}>
          Compare ${picked.size > 1 ? picked.size : ""}
        </button>
      </div>
    </div>
    <div class="filters" role="search">
      <input type="search" aria-label="Find by name, id, label or trainer" placeholder="Find by name, label, trainer" value=${text} onInput=${(event) => setQuery({ q: event.target.value })} />
      <select aria-label="State" value=${state} onChange=${(event) => setQuery({ state: event.target.value })}>
        <option value="">Every state</option>
        ${JOB_STATES.map((one) => html`<option value=${one} selected=${one === state}>${one}</option>`)}
      </select>
      <select aria-label="Order" value=${sort} onChange=${(event) => setQuery({ sort: event.target.value })}>
        ${Object.entries(SORTS).map(([value, name]) => html`<option value=${value} selected=${value === sort}>${name}</option>`)}
      </select>
    </div>
    ${jobs.error && html`<${ProblemNote} problem=${jobs.error} onRetry=${jobs.reload} />`}
    <section class="card" aria-label="Jobs">
      ${jobs.isLoading && html`<div class="body"><${Loading} what="jobs" height=${280} /></div>`}
      ${jobs.data && items.length > 0 && html`<${JobTable} jobs=${items} picked=${picked} onPick=${pick} />`}
      ${jobs.data && items.length === 0 && (text || state ? html`<${NothingFound} />` : html`<${FirstJob} />`)}
      ${
        jobs.data?.next_page_token &&
        html`<div class="pager">
          <span class="muted">The first ${formatCount(limit)} jobs</span>
          <div class="actions"><button class="button tight" onClick=${() => setLimit(Math.min(500, limit + 100))}>Show more</button></div>
        </div>`
      }
    </section>
  </div>`;
}

function JobTable({ jobs, picked, onPick }) {
  return html`<div class="table-scroll">
    <table class="cards">
      <thead>
        <tr>
          <th scope="col"><span class="hidden-visually">Compare</span></th>
          <th scope="col">Job</th>
          <th scope="col">State</th>
          <th scope="col">Progress</th>
          <th scope="col">Best</th>
          <th scope="col">Submitted</th>
        </tr>
      </thead>
      <tbody>
        ${jobs.map((job) => html`<${JobRow} key=${job.id} job=${job} isPicked=${picked.has(job.id)} onPick=${onPick} />`)}
      </tbody>
    </table>
  </div>`;
}

function JobRow({ job, isPicked, onPick }) {
  const { progress } = job;
  const name = job.name || job.id;
  return html`<tr>
    <td><input type="checkbox" aria-label="Compare ${name}" checked=${isPicked} onChange=${() => onPick(job.id)} /></td>
    <td>
      <div class="job-name">
        <a href=${href(["jobs", job.id])}>${name}</a>
        <span class="small muted">${job.spec.trainer.name} · ${job.spec.sampler.name}${job.kind === "tune" || job.kind === "job" ? "" : ` · ${job.kind.replaceAll("_", " ")}`}</span>
        <${Labels} labels=${job.labels} />
      </div>
    </td>
    <td><${State} state=${job.state} reason=${job.state === "completed" && job.reason === "max_trials" ? null : job.reason} /></td>
    <td>
      <div class="progress-cell">
        <${ProgressBar} progress=${progress} />
        <span class="small muted number">
          ${formatCount(progress.total)}${progress.max_trials ? ` / ${formatCount(progress.max_trials)}` : ""}
          ${progress.eta_s !== null && ` · ${formatDuration(progress.eta_s)} left`}
        </span>
      </div>
    </td>
    <td><${Best} job=${job} /></td>
    <td class="small muted"><${Ago} at=${job.created_at} /></td>
  </tr>`;
}

function Best({ job }) {
  if (!job.best) return html`<span class="muted">–</span>`;
  const metric = job.spec.objectives[0].metric;
  return html`<div>
    <strong class="number">${formatValue(job.best.values[metric])}</strong> <span class="small muted">${metric}</span>
    <div><${Params} params=${job.best.params} /></div>
  </div>`;
}

/** @param {{labels: Record<string, string>}} props */
export function Labels({ labels }) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return null;
  return html`<span class="actions">${entries.map(([key, value]) => html`<span class="label">${key}: ${value}</span>`)}</span>`;
}

function FirstJob() {
  const command = `curl ${location.origin}/v1/jobs -H 'Content-Type: application/json' \\\n  -d '{"name": "my first", "trainer": {"name": "synthetic"}}'`;
  return html`<${Empty} title="No job yet">
    <p>A job is a search for the best learning rate, batch size and whatever else a trainer offers. Build one here, or send it from a terminal:</p>
    <${Code} text=${command} label="A command that submits a job" />
    <a class="button primary" href="#/new">New job</a>
  <//>`;
}

function NothingFound() {
  return html`<${Empty} title="No job like that">
    <p>Change the words or the state above, or look at all of them.</p>
    <a class="button" href="#/jobs">Show all jobs</a>
  <//>`;
}

function matches(job, text) {
  const labels = Object.entries(job.labels).map(([key, value]) => `${key}:${value}`);
  const haystack = [job.name, job.id, job.spec.trainer.name, job.spec.sampler.name, ...labels].join(" ").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => haystack.includes(word));
}

function toggled(set, member) {
  const changed = new Set(set);
  if (!changed.delete(member)) changed.add(member);
  return changed;
}
