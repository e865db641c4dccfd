/** All jobs: state, progress and best, kept up to date; filtered, sorted and paged by the server. */

import { withQuery } from "../api.js";
import { ShortAnswer } from "../components/answer.js";
import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Code, Pager, Params } from "../components/pieces.js";
import { JOB_STATES, ProgressBar, State } from "../components/state.js";
import { Ago, formatCount, formatDuration, formatValue, searchWords, words } from "../format.js";
import { useJobRows, usePages, useResource, useTitle } from "../hooks.js";
import { go, href, setQuery } from "../router.js";
import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Suggestions } from "./range_test.js";

const REFRESH_MS = 2000;
/** While the stream tells what changes; it does not tell of labels, nor of jobs that were deleted. */
const LIVE_REFRESH_MS = 30_000;
const PAGE = 50;
/** The server finds labels, trainers and whole names; other words are looked for in this many jobs at a time. */
const SEARCHED = 500;
const SEARCH_REFRESH_MS = 10_000;
const SORTS = { "-created_at": "Newest", "-started_at": "Started last", "-priority": "Priority", name: "Name", state: "State" };

/** @param {{query: URLSearchParams}} props */
export function JobsView({ query }) {
  useTitle("Jobs");
  const state = query.get("state") ?? "";
  const sort = query.get("sort") ?? "-created_at";
  const text = query.get("q") ?? "";
  const found = useJobs({ state, sort, text });
  const [picked, setPicked] = useState(() => new Set());
  const pick = (id) => setPicked((before) => toggled(before, id));
  const { pages, items } = found;

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
      <input type="search" aria-label="Find jobs" placeholder="Name, id, label:value, trainer:name" value=${text} onInput=${(event) => setQuery({ q: event.target.value })} />
      <select aria-label="State" value=${state} onChange=${(event) => setQuery({ state: event.target.value })}>
        <option value="">Every state</option>
        ${JOB_STATES.map((one) => html`<option value=${one} selected=${one === state}>${one}</option>`)}
      </select>
      <select aria-label="Order" value=${sort} onChange=${(event) => setQuery({ sort: event.target.value })}>
        ${Object.entries(SORTS).map(([value, name]) => html`<option value=${value} selected=${value === sort}>${name}</option>`)}
      </select>
    </div>
    ${pages.error && html`<${ProblemNote} problem=${pages.error} onRetry=${pages.reload} />`}
    <section class="card" aria-label="Jobs" aria-busy=${pages.isLoading}>
      ${!items && !pages.error && html`<div class="body"><${Loading} what="jobs" height=${280} /></div>`}
      ${items?.length > 0 && html`<${JobTable} jobs=${items} picked=${picked} onPick=${pick} />`}
      ${items?.length === 0 && (text || state ? html`<${NothingFound} onNext=${pages.next} />` : html`<${FirstJob} />`)}
      <${Pager} pages=${pages}>${found.isSearch && ` · searched ${formatCount(SEARCHED)} jobs on each page`}<//>
    </section>
  </div>`;
}

/**
 * The jobs that a search finds. `key:value` is a label, `trainer:name` a trainer: the server filters by them, as by the
 * state. It finds whole names and ids too, wherever they are; other words are looked for in what a page holds.
 */
function useJobs({ state, sort, text }) {
  const { labels, trainer, rest } = readSearch(text);
  const isSearch = rest.length > 0;
  const filters = { state, label: labels, trainer };
  const shown = useRef(new Map());
  const reload = useRef(() => {});
  const states = useRef(new Map());
  // A job that came or went from one state to another may belong elsewhere in the list; else its row tells all.
  const live = useJobRows(({ id, state: now }) => {
    const before = states.current.get(id) ?? shown.current.get(id)?.state;
    states.current.set(id, now);
    if (before !== now) reload.current();
  });
  const everyMs = live.isLive ? LIVE_REFRESH_MS : isSearch ? SEARCH_REFRESH_MS : REFRESH_MS;
  const pages = usePages(withQuery("/jobs", { ...filters, sort, limit: isSearch ? SEARCHED : PAGE }), { everyMs });
  const named = useResource(isSearch && pages.next ? withQuery("/jobs", { ...filters, name: rest.join(" ") }) : null, { everyMs });
  const byId = useResource(/^job_[0-9a-f]{16,}$/.test(text.trim()) ? `/jobs/${text.trim()}` : null, { everyMs });
  const exact = [...(named.data?.items ?? []), ...(byId.data ? [byId.data] : [])];
  const matching = pages.items?.filter((job) => matches(job, rest));
  reload.current = pages.reload;
  useEffect(() => void (live.isLive && pages.reload()), [live.isLive]); // what happened before the stream began
  const found = new Map([...exact, ...(matching ?? [])].map((job) => [job.id, newer(job, live.rows.get(job.id))]));
  shown.current = found;
  return { pages, isSearch, items: matching && [...found.values()] };
}

/** A job as its row in the stream says, unless it was read since. */
function newer(job, row) {
  return row?.change > job.change ? { ...job, ...row } : job;
}

/** @param {string} text @returns {{labels: string[], trainer: string | undefined, rest: string[]}} `rest`: the other words */
function readSearch(text) {
  const parts = text.trim().split(/\s+/).filter(Boolean);
  const isPair = (part) => /^[^:]+:./.test(part);
  const isTrainer = (part) => isPair(part) && part.startsWith("trainer:");
  return {
    labels: parts.filter((part) => isPair(part) && !isTrainer(part)),
    trainer: parts.find(isTrainer)?.slice("trainer:".length),
    rest: parts.filter((part) => !isPair(part)),
  };
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
          <th scope="col">Answer</th>
          <th scope="col">Best trial</th>
          <th scope="col">Submitted</th>
        </tr>
      </thead>
      <tbody>
        ${jobs.map((job) => html`<${JobRow} key=${job.id} job=${job} isPicked=${picked.has(job.id)} onPick=${onPick} />`)}
      </tbody>
    </table>
  </div>`;
}

/** Where a job is looked at. */
function placeOf({ id, kind }) {
  return href([kind === "range_test" ? "range-tests" : "jobs", id]);
}

function JobRow({ job, isPicked, onPick }) {
  const { progress } = job;
  const name = job.name || job.id;
  return html`<tr>
    <td><input type="checkbox" aria-label="Compare ${name}" checked=${isPicked} onChange=${() => onPick(job.id)} /></td>
    <td>
      <div class="job-name">
        <a href=${placeOf(job)}>${name}</a>
        <span class="small muted">${job.spec.trainer.name} · ${searchWords(job)}</span>
        <${Labels} labels=${job.labels} />
      </div>
    </td>
    <td><${State} state=${job.state} reason=${job.state === "completed" && job.reason === "max_trials" ? null : job.reason} /></td>
    <td>
      <div class="progress-cell">
        <${ProgressBar} progress=${progress} />
        <span class="small muted number">
          ${formatCount(progress.total)}${progress.max_trials ? ` / ${formatCount(progress.max_trials)}` : ""}
          ${progress.limited_by === "answer" ? " · answering" : progress.eta_s !== null && ` · ${formatDuration(progress.eta_s)} left`}
        </span>
      </div>
    </td>
    <td>${job.kind === "range_test" ? html`<${Suggestions} job=${job} />` : html`<${ShortAnswer} answer=${job.answer} />`}</td>
    <td><${Best} job=${job} /></td>
    <td class="small muted"><${Ago} at=${job.created_at} /></td>
  </tr>`;
}

/** The best single trial so far; the lowest loss of a range test means nothing. */
function Best({ job }) {
  const [objective, ...others] = job.spec.objectives;
  if (job.kind === "range_test") return html`<span class="muted">–</span>`;
  if (others.length > 0) return html`<a href=${href(["jobs", job.id])}>Pareto front</a> <span class="small muted">of ${[objective, ...others].map(({ metric }) => metric).join(", ")}</span>`;
  if (!job.best) return html`<span class="muted">–</span>`;
  return html`<div>
    <strong class="number">${formatValue(job.best.values[objective.metric])}</strong> <span class="small muted">${objective.metric}</span>
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

/** @param {{onNext: (() => void) | null}} props null: all jobs have been looked through */
function NothingFound({ onNext }) {
  if (onNext) {
    return html`<${Empty} title="None among these ${SEARCHED} jobs">
      <button class="button" onClick=${onNext}>Look through older ones</button>
    <//>`;
  }
  return html`<${Empty} title="No job like that">
    <p>Change the words or the state above, or look at all of them.</p>
    <a class="button" href="#/jobs">Show all jobs</a>
  <//>`;
}

/** @param {object} job @param {string[]} wanted words, all of which it must have */
function matches(job, wanted) {
  const labels = Object.entries(job.labels).map(([key, value]) => `${key}:${value}`);
  const haystack = [job.name, job.spec.trainer.name, searchWords(job), words(job.kind), ...labels].join(" ").toLowerCase();
  return wanted.every((word) => haystack.includes(word.toLowerCase()) || job.id.startsWith(word));
}

function toggled(set, member) {
  const changed = new Set(set);
  if (!changed.delete(member)) changed.add(member);
  return changed;
}
