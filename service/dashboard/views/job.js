/** One job, live: what it has found, its trials, its report, its specification, and its controls. */

import { Loading, ProblemNote } from "../components/feedback.js";
import { CopyButton, Params, Tabs } from "../components/pieces.js";
import { Counts, ProgressBar, State } from "../components/state.js";
import { Ago, formatCount, formatDuration, formatShare, formatValue } from "../format.js";
import { useLiveJob } from "../hooks.js";
import { href } from "../router.js";
import { html } from "../vendor/preact-htm.js";
import { JobControls } from "./job_controls.js";
import { JobOverview } from "./job_overview.js";
import { JobReport } from "./job_report.js";
import { JobSpec } from "./job_spec.js";
import { JobTrials } from "./job_trials.js";
import { Labels } from "./jobs.js";

const TABS = { overview: "Overview", trials: "Trials", report: "Report", spec: "Specification" };
const STATUSES = { live: "live", polling: "polling", offline: "reconnecting…", connecting: "connecting…", ended: "finished" };

/** @param {{jobId: string, tab: string, query: URLSearchParams}} props */
export function JobView({ jobId, tab, query }) {
  const live = useLiveJob(jobId);
  const { job } = live;
  if (live.error && !job) {
    return html`<div class="page"><h1>Job</h1><${ProblemNote} problem=${live.error} /><p><a href="#/jobs">All jobs</a></p></div>`;
  }
  if (!job) return html`<div class="page"><h1 class="muted">${jobId}</h1><${Loading} what="the job" height=${420} /></div>`;
  return html`<div class="page">
    <p class="crumbs"><a href="#/jobs">Jobs</a> / <code>${job.id}</code> <${CopyButton} text=${job.id} label="Copy id" /></p>
    <div class="page-head">
      <h1>${job.name || job.id}</h1>
      <${State} state=${job.state} reason=${job.reason} />
      <span class="live" data-status=${live.status}>${STATUSES[live.status]}</span>
      <${JobControls} job=${job} onChange=${live.replace} />
    </div>
    <${Labels} labels=${job.labels} />
    ${job.error && html`<p class="problem" role="alert"><strong>The job failed</strong><span>${job.error}</span></p>`}
    ${job.reason === "no_worker" && html`<p class="warning">No worker that is alive can run this job. Start one with <code>stepsize worker</code>; <a href="#/workers">see the workers</a>.</p>`}
    ${job.warnings.map((warning) => html`<p class="warning">${warning}</p>`)}
    <${Tiles} job=${job} />
    <${Tabs} label="Parts of the job" tabs=${Object.entries(TABS).map(([part, name]) => ({
      name: part === "trials" ? `${name} ${formatCount(job.progress.total)}` : name,
      href: href(part === "overview" ? ["jobs", jobId] : ["jobs", jobId, part]),
      isCurrent: part === tab,
    }))} />
    <${Part} tab=${tab} live=${live} query=${query} />
  </div>`;
}

function Part({ tab, live, query }) {
  if (tab === "trials") return html`<${JobTrials} job=${live.job} version=${live.version} trials=${live.trials} query=${query} />`;
  if (tab === "report") return html`<${JobReport} job=${live.job} />`;
  if (tab === "spec") return html`<${JobSpec} job=${live.job} />`;
  return html`<${JobOverview} job=${live.job} version=${live.version} />`;
}

function Tiles({ job }) {
  const { best, progress } = job;
  const objectives = job.spec.objectives;
  const metric = objectives[0].metric;
  return html`<div class="tiles">
    <section class="card tile" aria-label="Best trial">
      <span class="caption">Best ${objectives.length > 1 ? "" : metric}</span>
      ${
        best
          ? html`<a class="big" href=${href(["jobs", job.id, "trials", String(best.number)])} data-testid="best-value">${formatValue(best.values[metric])}</a>
              <${Params} params=${best.params} />`
          : html`<span class="big muted">–</span>
              <span class="small muted">${objectives.length > 1 ? "Several objectives: see the trials." : "Shown as soon as a trial completes."}</span>`
      }
    </section>
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
      <span class="caption">${job.finished_at ? "Took" : progress.eta_s === null ? "Started" : "Left, at this pace"}</span>
      <span class="big">${time(job)}</span>
      <span class="small muted">
        ${job.finished_at ? html`finished <${Ago} at=${job.finished_at} />` : job.started_at ? html`started <${Ago} at=${job.started_at} />` : html`submitted <${Ago} at=${job.created_at} />`}
        ${progress.limited_by && ` · limited by ${progress.limited_by.replaceAll("_", " ")}`}
      </span>
    </section>
  </div>`;
}

function ended({ total, counts }) {
  return total - counts.queued - counts.running;
}

function time(job) {
  if (job.finished_at && job.started_at) return formatDuration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000);
  if (job.progress.eta_s !== null) return formatDuration(job.progress.eta_s);
  return job.started_at ? html`<${Ago} at=${job.started_at} />` : "not yet";
}
