/** One trial: what was tried, how it went, what it printed and left. */

import { getText, post, Problem, withQuery } from "../api.js";
import { LinesChart } from "../charts/curves.js";
import { Chart, Choice } from "../components/chart_card.js";
import { Loading, ProblemNote, say } from "../components/feedback.js";
import { State } from "../components/state.js";
import { Ago, formatDuration, formatParam, formatValue } from "../format.js";
import { useInterval, useResource, useTitle } from "../hooks.js";
import { href } from "../router.js";
import { html, useCallback, useEffect, useMemo, useState } from "../vendor/preact-htm.js";

const REFRESH_MS = 1500;
const LOG_LINES = 200;
const MAX_POINTS = 500;
/** A group is named by the number of its first trial; the others come soon after. */
const MAX_MEMBERS = 500;
const FIGURE = /\.figure\.(svg|png)$/;
const RETRIABLE = ["failed", "infeasible", "cancelled"];

/** @param {{jobId: string, number: number}} props */
export function TrialView({ jobId, number }) {
  const path = `/jobs/${jobId}/trials/${number}`;
  const [isLive, setIsLive] = useState(true);
  const everyMs = isLive ? REFRESH_MS : undefined;
  const job = useResource(`/jobs/${jobId}`, { everyMs });
  const found = useResource(path, { everyMs });
  const trial = found.data;
  useTitle(`Trial ${number} of ${job.data?.name || jobId}`);
  useEffect(() => void (trial && setIsLive(["queued", "running"].includes(trial.state))), [trial?.state]);

  if (found.error && !trial) {
    return html`<div class="page"><h1>Trial ${number}</h1><${ProblemNote} problem=${found.error} onRetry=${found.reload} /></div>`;
  }
  return html`<div class="page">
    <p class="crumbs"><a href="#/jobs">Jobs</a> / <a href=${href(["jobs", jobId])}>${job.data?.name || jobId}</a> / <a href=${href(["jobs", jobId, "trials"])}>Trials</a></p>
    <div class="page-head">
      <h1>Trial ${number}</h1>
      ${trial && html`<${State} state=${trial.state} reason=${trial.reason} />`}
      <div class="actions placeholder">
        ${trial && html`<${TrialControls} path=${path} trial=${trial} onChange=${found.reload} />`}
        ${number > 0 && html`<a class="button" href=${href(["jobs", jobId, "trials", String(number - 1)])}>← Previous</a>`}
        ${number + 1 < job.data?.progress.total && html`<a class="button" href=${href(["jobs", jobId, "trials", String(number + 1)])}>Next →</a>`}
      </div>
    </div>
    ${trial ? html`<${TrialParts} path=${path} trial=${trial} job=${job.data} isLive=${isLive} />` : html`<${Loading} what="the trial" height=${420} />`}
  </div>`;
}

function TrialParts({ path, trial, job, isLive }) {
  return html`
    ${trial.remark && html`<p class="warning">${trial.remark}</p>`}
    ${trial.error && html`<p class="problem"><strong>${trial.error.type}</strong><span>${trial.error.message}</span></p>`}
    <div class="grid-2">
      <section class="card">
        <header><h2>Parameters</h2></header>
        <div class="body">
          <h3>Searched</h3>
          <${Facts} facts=${namedParams(trial.params)} />
          <h3>Fixed by the job</h3>
          <${Facts} facts=${namedParams(trial.fixed_params).filter(([, value]) => value !== "")} />
        </div>
      </section>
      <section class="card">
        <header><h2>Result</h2></header>
        <div class="body"><${Facts} facts=${[
          ...Object.entries(trial.values).map(([name, value]) => [name, formatValue(value)]),
          ["step", trial.step ?? "–"],
          ["took", formatDuration(trial.duration_s)],
          ["started", html`<${Ago} at=${trial.started_at} />`],
          ["attempt", trial.attempt],
          ...(trial.losses_of_worker ? [["lost with a worker", trial.losses_of_worker]] : []),
          ...(trial.group ? [["trained", html`<${Company} group=${trial.group} jobId=${trial.job_id} />`]] : []),
          ["seed", trial.seed],
          ["device", trial.device ?? "–"],
          ["worker", trial.worker ? html`<code>${trial.worker}</code>` : "–"],
        ]} /></div>
      </section>
      <${ProvenanceCard} trial=${trial} />
      <${CurveCard} job=${job} trial=${trial} isLive=${isLive} />
      ${trial.group?.how === "fused" && html`<${GroupCard} job=${job} trial=${trial} isLive=${isLive} />`}
      <${LogCard} path=${path} isLive=${isLive} />
      <${FiguresCard} path=${path} names=${trial.artifacts.filter((name) => FIGURE.test(name))} />
      <${ArtifactsCard} path=${path} names=${trial.artifacts} />
    </div>`;
}

function TrialControls({ path, trial, onChange }) {
  const [problem, setProblem] = useState(null);
  const act = async (verb, done) => {
    setProblem(null);
    try {
      await post(`${path}/${verb}`);
      say(done);
      onChange();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  };
  return html`
    ${["queued", "running"].includes(trial.state) && html`<button class="button danger" onClick=${() => act("cancel", "The trial is being cancelled.")}>Cancel trial</button>`}
    ${RETRIABLE.includes(trial.state) && html`<button class="button" onClick=${() => act("retry", "The trial is queued again.")}>Retry trial</button>`}
    ${problem && html`<${ProblemNote} problem=${problem} />`}`;
}

function namedParams(params) {
  return Object.entries(params).map(([name, value]) => [name, formatParam(value, name)]);
}

function Facts({ facts }) {
  if (facts.length === 0) return html`<p class="note">None.</p>`;
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** How a trial is trained that may have company: with whom, or why alone. */
function Company({ group, jobId }) {
  if (group.how !== "fused") return `alone: ${group.why}`;
  return html`in group <a href=${href(["jobs", jobId, "trials"])}>${group.id}</a>, ${group.size} when it came: ${group.why}`;
}

/** The trials of a group and their curves: which were trained as one. */
function GroupCard({ job, trial, isLive }) {
  const trials = useResource(withQuery(`/jobs/${trial.job_id}/trials`, { filter: `number>=${Number.parseInt(trial.group.id, 10)}`, limit: MAX_MEMBERS }), { everyMs: isLive ? REFRESH_MS : undefined, version: isLive });
  const members = (trials.data?.items ?? []).filter((one) => one.group?.id === trial.group.id).map((one) => one.number);
  const metric = job?.spec.objectives[0].metric ?? null;
  const path = metric && members.length > 0 ? withQuery(`/jobs/${trial.job_id}/curves`, { trial: members, metric, max_points: MAX_POINTS }) : null;
  const curves = useResource(path, { everyMs: isLive ? REFRESH_MS : undefined, version: isLive });
  const lines = (curves.data?.curves ?? []).map((curve) => ({ name: `trial ${curve.number}`, xs: curve.steps, ys: curve.values }));
  return html`<section class="card wide">
    <header><h2>Trained as one</h2><span class="note">group ${trial.group.id}</span></header>
    <div class="body">
      <p>${members.map((number) => html`<a class="member" href=${href(["jobs", trial.job_id, "trials", String(number)])}>${number}</a> `)}</p>
      <${Chart} resource=${curves} what="the curves" height=${260} isEmpty=${() => lines.length === 0} why=${() => "They have reported nothing yet."}>
        ${(data) => html`<${LinesChart} lines=${lines} xLabel=${data.step_unit ?? "step"} yLabel=${metric} />`}
      <//>
    </div>
  </section>`;
}

/** One metric over the steps; the server thins long curves. */
function CurveCard({ job, trial, isLive }) {
  const metrics = Object.keys(trial.values);
  const [chosen, setChosen] = useState(null);
  const metric = chosen ?? job?.spec.objectives[0].metric ?? null;
  const path = metric && withQuery(`/jobs/${trial.job_id}/curves`, { trial: trial.number, metric, max_points: MAX_POINTS });
  const curves = useResource(path, { everyMs: isLive ? REFRESH_MS : undefined, version: isLive });
  const [curve] = curves.data?.curves ?? [];
  const lines = useMemo(() => [{ name: metric, xs: curve?.steps ?? [], ys: curve?.values ?? [] }], [curve, metric]);
  return html`<section class="card wide">
    <header>
      <h2>Learning curve</h2>
      ${metrics.length > 1 && html`<div class="actions aside"><${Choice} label="Metric" names=${metrics} value=${metric} onChange=${setChosen} /></div>`}
    </header>
    <div class="body">
      <${Chart} resource=${curves} what="the curve" height=${260} isEmpty=${() => lines[0].xs.length === 0} why=${() => (isLive ? "It has reported nothing yet." : "It reported nothing.")}>
        ${(data) => html`<${LinesChart} lines=${lines} xLabel=${data.step_unit ?? "step"} yLabel=${metric} />`}
      <//>
    </div>
  </section>`;
}

function LogCard({ path, isLive }) {
  const [log, setLog] = useState(null);
  const load = useCallback(() => {
    getText(withQuery(`${path}/log`, { tail: LOG_LINES })).then(setLog, () => setLog(""));
  }, [path]);
  useEffect(load, [load, isLive]);
  useInterval(load, isLive ? REFRESH_MS : undefined);
  return html`<section class="card wide">
    <header><h2>Log</h2><span class="note">the last ${LOG_LINES} lines</span><a class="button quiet aside" href="/v1${path}/log" target="_blank" rel="noopener">All of it</a></header>
    <div class="body">
      ${log === null ? html`<${Loading} what="the log" height=${80} />` : log ? html`<pre class="log" tabindex="0" role="region" aria-label="Log">${log}</pre>` : html`<p class="note">${isLive ? "It has printed nothing yet." : "It printed nothing."}</p>`}
    </div>
  </section>`;
}

/** What the trainer drew; a picture is a user's, so it is only ever an image. */
function FiguresCard({ path, names }) {
  if (names.length === 0) return null;
  return html`<section class="card wide">
    <header><h2>Pictures</h2></header>
    <div class="body figures">
      ${names.map((name) => {
        const title = name.replace(FIGURE, "").replaceAll(/[_-]/g, " ");
        const at = `/v1${path}/artifacts/${encodeURIComponent(name)}`;
        return html`<figure><a href=${at} target="_blank" rel="noopener"><img src=${at} alt=${title} loading="lazy" /></a><figcaption>${title}</figcaption></figure>`;
      })}
    </div>
  </section>`;
}

/** What it ran with: code, packages, machine. */
function ProvenanceCard({ trial }) {
  const found = useResource(trial.provenance && `/jobs/${trial.job_id}/provenance`, { version: trial.provenance });
  const share = found.data?.items.find((one) => one.id === trial.provenance);
  if (!share) return null;
  const from = share.provenance;
  const commit = from.git_commit && `${from.git_commit.slice(0, 12)}${from.git_dirty ? " and changes since" : ""}`;
  const facts = [
    ["trainer", from.trainer && [from.trainer, from.trainer_version].filter(Boolean).join(" ")],
    ["source", from.source_hash && html`<code>${from.source_hash}</code>`],
    ["commit", commit && html`<code>${commit}</code>`],
    ["ran on", [from.device, from.driver].filter(Boolean).join(", ")],
    ["python", [from.python, from.platform].filter(Boolean).join(" on ")],
    ...Object.entries(from.packages),
  ];
  const others = found.data.items.length - 1;
  return html`<section class="card wide">
    <header><h2>Provenance</h2>${others > 0 && html`<span class="note">other trials of this job ran with another: ${Object.keys(found.data.differences).join(", ")}</span>`}</header>
    <div class="body"><${Facts} facts=${facts.filter(([, value]) => value)} /></div>
  </section>`;
}

function ArtifactsCard({ path, names }) {
  if (names.length === 0) return null;
  return html`<section class="card wide">
    <header><h2>Files</h2></header>
    <div class="body actions">
      ${names.map((name) => html`<a class="button" href="/v1${path}/artifacts/${encodeURIComponent(name)}" download>${name}</a>`)}
    </div>
  </section>`;
}
