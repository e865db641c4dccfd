/** One job, live: what it has found, its trials, its report, its specification, and its controls. */

import { withQuery } from "../api.js";
import { AnswerCard } from "../components/answer.js";
import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Code, CopyButton, Params, Tabs } from "../components/pieces.js";
import { Counts, ProgressBar, State, wordsOf } from "../components/state.js";
import { Ago, formatCount, formatDuration, formatShare, formatValue } from "../format.js";
import { useLiveJob, useResource, useThrottled, useTitle } from "../hooks.js";
import { href } from "../router.js";
import { html, useEffect } from "../vendor/preact-htm.js";
import { JobControls } from "./job_controls.js";
import { JobOverview } from "./job_overview.js";
import { JobReport } from "./job_report.js";
import { JobSpec } from "./job_spec.js";
import { JobTrials } from "./job_trials.js";
import { Labels } from "./jobs.js";

const TABS = { overview: "Overview", trials: "Trials", report: "Report", spec: "Specification" };
/** Range tests and refits search nothing: there is no report. */
const TABS_WITHOUT_SEARCH = { overview: "Overview", trials: "Trials", spec: "Specification" };
const FRONT_MS = 1500;
/** What to say of a job that came to nothing, and what to do. */
const NOTHING = {
  tooMany: ["Too many trials failed", "When that is mended, retry them."],
  failed: ["All trials failed", "When that is mended, retry them."],
  infeasible: ["No trial was feasible", "Search lower learning rates, smaller batches or another space."],
};
const STATUSES = { live: "live", polling: "polling", offline: "reconnecting…", connecting: "connecting…", ended: "finished" };

/** @param {{jobId: string, tab: string, query: URLSearchParams}} props */
export function JobView({ jobId, tab, query }) {
  const live = useLiveJob(jobId);
  const { job } = live;
  useTitle(job ? titleOf(job) : "Job");
  const isElsewhere = job?.kind === "range_test" && tab === "overview";
  useEffect(() => void (isElsewhere && location.replace(href(["range-tests", jobId]))), [isElsewhere]);
  if (live.status === "gone") return html`<${Gone} name=${job?.name || jobId} />`;
  if (live.error && !job) {
    return html`<div class="page"><h1>Job</h1><${ProblemNote} problem=${live.error} /><p><a href="#/jobs">All jobs</a></p></div>`;
  }
  if (!job || isElsewhere) return html`<${Awaited} jobId=${jobId} />`;
  const tabs = Object.entries(job.kind === "tune" ? TABS : TABS_WITHOUT_SEARCH);
  return html`<div class="page">
    <${Crumbs} jobId=${jobId} />
    <div class="page-head">
      <h1>${job.name || job.id}</h1>
      <${State} state=${job.state} reason=${job.reason} />
      <span class="live" data-status=${live.status}>${STATUSES[live.status]}</span>
      <${JobControls} job=${job} onChange=${live.replace} />
    </div>
    <${Labels} labels=${job.labels} />
    ${live.status === "offline" && html`<p class="warning">The service doesn't answer; what you see is its last word. This page goes on by itself as soon as it is back.</p>`}
    ${job.error && html`<p class="problem" role="alert"><strong>The job failed</strong><span>${job.error}${job.reason !== "max_failed_trials" && job.advice && `; ${job.advice}`}</span></p>`}
    <${NothingCame} job=${job} />
    ${job.advice && !job.finished_at && html`<p class="warning" role="status">${sentence(job.advice)} <a href="#/workers">See the workers</a>.</p>`}
    ${job.warnings.map((warning) => html`<p class="warning">${warning}</p>`)}
    ${tab === "overview" && html`<${AnswerCard} job=${job} />`}
    <${Tiles} job=${job} />
    ${job.spec.engine === "external" && !job.finished_at && isUntouched(job.progress) && html`<${AwaitingClients} job=${job} />`}
    <${Tabs} label="Parts of the job" tabs=${tabs.map(([part, name]) => ({
      name: part === "trials" ? `${name} ${formatCount(job.progress.total)}` : name,
      href: href(part === "overview" ? ["jobs", jobId] : ["jobs", jobId, part]),
      isCurrent: part === tab,
    }))} />
    <${Part} tab=${tab} live=${live} query=${query} />
  </div>`;
}

/** What the browser's tab says: how far it is, while it runs. */
function titleOf({ id, name, state, progress: { fraction } }) {
  const share = state === "running" && fraction !== null ? `${formatShare(fraction)} ` : "";
  return share + (name || id);
}

function Crumbs({ jobId }) {
  return html`<p class="crumbs"><a href="#/jobs">Jobs</a> / <code>${jobId}</code> <${CopyButton} text=${jobId} label="Copy id" /></p>`;
}

/** The page before the job is there, with everything in its place. */
function Awaited({ jobId }) {
  return html`<div class="page">
    <${Crumbs} jobId=${jobId} />
    <div class="page-head"><h1 class="muted">Loading …</h1><div class="actions placeholder" /></div>
    <div class="tiles"><${Loading} what="the job" height=${126} /><${Loading} what="its progress" height=${126} /><${Loading} what="its time" height=${126} /></div>
    <${Loading} what="its charts" height=${420} />
  </div>`;
}

/** An external job is trained by clients: how one begins. */
function AwaitingClients({ job }) {
  const command = `curl ${location.origin}/v1/jobs/${job.id}/suggestions -H 'Content-Type: application/json' \\\n  -d '{"client_id": "my-machine", "wait_s": 10}'`;
  return html`<section class="card">
    <header><h2>Waiting for your programs</h2><span class="note">this job is trained by clients that ask for trials</span></header>
    <div class="body stack"><p class="note">Each asks for a trial, reports its metrics and tells how it ended:</p><${Code} text=${command} label="A command that asks for a trial" /></div>
  </section>`;
}

/** A job that somebody has deleted while it was looked at. */
function Gone({ name }) {
  return html`<div class="page"><h1>${name}</h1>
    <section class="card"><${Empty} title="This job has been deleted"><p>Its trials, reports and models are gone with it.</p><a class="button" href="#/jobs">All jobs</a><//></section>
  </div>`;
}

function Part({ tab, live, query }) {
  if (tab === "trials") return html`<${JobTrials} job=${live.job} version=${live.version} trials=${live.trials} query=${query} />`;
  if (tab === "report") return html`<${JobReport} job=${live.job} />`;
  if (tab === "spec") return html`<${JobSpec} job=${live.job} />`;
  return html`<${JobOverview} job=${live.job} version=${live.version} />`;
}

function Tiles({ job }) {
  const { progress } = job;
  const { objectives } = job.spec;
  return html`<div class="tiles">
    ${objectives.length > 1 ? html`<${FrontTile} job=${job} />` : html`<${BestTile} job=${job} />`}
    <section class="card tile" aria-label="Progress">
      <span class="caption">Trials</span>
      <span class="big" data-testid="progress">
        ${formatCount(ended(progress))}<span class="muted small"> of ${progress.max_trials ? formatCount(progress.max_trials) : formatCount(progress.total)}</span>
        ${progress.fraction !== null && html`<span class="muted small"> · ${formatShare(progress.fraction)}</span>`}
      </span>
      <${ProgressBar} progress=${progress} />
      <${Counts} counts=${progress.counts} />
    </section>
    <section class="card tile" aria-label="Time">
      <span class="caption">${job.finished_at ? "Took" : progress.eta_s !== null ? "Left, at this pace" : job.started_at ? "Running for" : "Waiting for"}</span>
      <span class="big">${time(job)}</span>
      <span class="small muted">
        ${job.finished_at ? html`finished <${Ago} at=${job.finished_at} />` : job.started_at ? html`started <${Ago} at=${job.started_at} />` : html`submitted <${Ago} at=${job.created_at} />`}
        ${progress.limited_by === "answer" ? " · its answer is being computed" : progress.limited_by && ` · limited by ${progress.limited_by.replaceAll("_", " ")}`}
      </span>
    </section>
  </div>`;
}

function BestTile({ job }) {
  const { best } = job;
  const { metric } = job.spec.objectives[0];
  const repeated = useRepeated(job);
  return html`<section class="card tile" aria-label="Best trial">
    <span class="caption">${repeated ? `Best by the mean of ${formatCount(repeated.n)} trainings: ${metric}` : `Best single trial: ${metric}, luck included`}</span>
    ${
      best
        ? html`<a class="big" href=${href(["jobs", job.id, "trials", String(best.number)])} data-testid="best-value">${formatValue(repeated ? repeated.mean.value : best.values[metric])}</a>
            <${Params} params=${best.params} />`
        : html`<span class="big muted">–</span><span class="small muted">Shown as soon as a trial completes.</span>`
    }
  </section>`;
}

/** What several trainings of the best configuration measured: those go first, by their means. Null: there are none. */
function useRepeated(job) {
  const isRepeated = (job.answer?.confirmed?.value ?? null) !== null || (job.spec.replicates && job.finished_at);
  const ranked = useResource(isRepeated ? `/jobs/${job.id}/best?n=1` : null, { version: useThrottled(job.revision, FRONT_MS) });
  const first = ranked.data?.items[0];
  return first?.number === job.best?.number && (first?.replicates?.mean.value ?? null) !== null ? first.replicates : null;
}

/** With several objectives there is no best trial, but those that no other beats. */
function FrontTile({ job }) {
  const front = useResource(`/jobs/${job.id}/pareto`, { version: useThrottled(job.revision, FRONT_MS) });
  const size = front.data?.items.length;
  return html`<section class="card tile" aria-label="Pareto front">
    <span class="caption">Pareto front</span>
    <span class="big">${size === undefined ? html`<span class="muted">–</span>` : html`${formatCount(size)}<span class="muted small"> ${size === 1 ? "trial" : "trials"}</span>`}</span>
    <span class="small muted">of ${job.spec.objectives.map(({ metric }) => metric).join(", ")}</span>
  </section>`;
}

function sentence(advice) {
  return `${advice[0].toUpperCase()}${advice.slice(1)}.`;
}

/** A job that has ended with nothing to show says of what, in the words of its last trial. */
function NothingCame({ job }) {
  const tooMany = job.reason === "max_failed_trials";
  const isShown = tooMany || (job.state === "completed" && job.advice);
  const state = tooMany || !job.progress.counts.infeasible ? "failed" : "infeasible";
  const last = useResource(isShown ? withQuery(`/jobs/${job.id}/trials`, { state, sort: "-number", limit: 1 }) : null);
  if (!isShown) return null;
  const error = last.data?.items[0]?.error;
  const [head, next] = NOTHING[tooMany ? "tooMany" : state];
  return html`<p class="problem"><strong>${head}</strong><span>${error && `The last: ${wordsOf(error)}. `}<a href=${href(["jobs", job.id, "trials"], { state })}>See the ${state} trials</a>. ${next}</span></p>`;
}

function isUntouched({ total, counts }) {
  return total === counts.queued;
}

function ended({ total, counts }) {
  return total - counts.queued - counts.running;
}

function time(job) {
  if (job.finished_at && job.started_at) return formatDuration(job.work_s);
  if (job.progress.eta_s !== null) return formatDuration(job.progress.eta_s);
  return formatDuration(job.started_at ? job.work_s : (Date.now() - Date.parse(job.created_at)) / 1000);
}
