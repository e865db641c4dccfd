/** One LR range test: its curves, and the three rates it finds at each batch size. */

import { RangeTestChart } from "../charts/report.js";
import { Stroke } from "../components/chart_card.js";
import { Loading, ProblemNote } from "../components/feedback.js";
import { Params, Uncertain } from "../components/pieces.js";
import { State } from "../components/state.js";
import { formatRate } from "../format.js";
import { useResource, useTitle } from "../hooks.js";
import { href } from "../router.js";
import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { JobControls } from "./job_controls.js";

const REFRESH_MS = 1500;
const FINISHED = ["completed", "failed", "cancelled"];

/** @param {{id: string}} props */
export function RangeTestView({ id }) {
  const [isOver, setIsOver] = useState(false);
  const test = useResource(`/range-tests/${id}`, { everyMs: isOver ? undefined : REFRESH_MS });
  useEffect(() => void (test.data && setIsOver(FINISHED.includes(test.data.state))), [test.data?.state]);
  const job = useResource(`/jobs/${id}`, { everyMs: isOver ? undefined : REFRESH_MS, version: isOver });
  useTitle(test.data?.spec.name || "Range test");
  const crumbs = html`<p class="crumbs"><a href="#/range-tests">Range tests</a> / <code>${id}</code></p>`;
  if (test.error && !test.data) return html`<div class="page">${crumbs}<h1>Range test</h1><${ProblemNote} problem=${test.error} onRetry=${test.reload} /></div>`;
  if (!test.data) return html`<div class="page">${crumbs}<${Loading} what="the range test" height=${420} /></div>`;
  const { state, reason, error, job_id: jobId, results, spec } = test.data;
  return html`<div class="page">
    ${crumbs}
    <div class="page-head">
      <h1>${spec.name || `Range test of ${spec.trainer.name}`}</h1>
      <${State} state=${state} reason=${state === "completed" ? null : reason} />
      ${!job.data && html`<div class="actions placeholder" />`}
      ${job.data && html`<${JobControls} job=${job.data} onChange=${() => (job.reload(), test.reload())} />`}
    </div>
    <${Asked} spec=${spec} jobId=${jobId} />
    <div class="grid-2">
      ${results.map((result) => html`<${Result} key=${result.batch_size} result=${result} />`)}
    </div>
    ${error && html`<p class="problem" role="alert"><strong>The range test failed</strong><span>${error}</span></p>`}
    ${results.length === 0 && !error && html`<${Sweeping} counts=${test.data.counts} isOver=${isOver} />`}
  </div>`;
}

/** What was swept, and where. */
function Asked({ spec, jobId }) {
  const { trainer, low, high, steps, seeds, rule } = spec;
  return html`<p class="muted">
    <${Params} params=${{ trainer: trainer.name, ...trainer.params, rates: `${formatRate(low)} … ${formatRate(high)}`, steps, seeds, rule }} />
    <a class="small" href=${href(["jobs", jobId, "trials"])}>its sweeps, one by one</a>
  </p>`;
}

/** The rates that a range test suggests, in brief. @param {{job: object}} props the test's job */
export function Suggestions({ job }) {
  const isOver = FINISHED.includes(job.state);
  const test = useResource(isOver ? `/range-tests/${job.id}` : null);
  const known = (test.data?.results ?? []).filter((result) => typeof result.suggestion?.value === "number");
  if (known.length === 0) return html`<span class="muted">${test.data?.results.length ? "inconclusive" : "–"}</span>`;
  return html`<span class="params">
    ${known.map(
      ({ batch_size: size, suggestion }) => html`<span>
        <strong class="number">${formatRate(suggestion.value)}</strong>${size !== null && html` <span class="key">at batch size</span> <span class="number">${size}</span>`}
      </span>`,
    )}
  </span>`;
}

function Sweeping({ counts, isOver }) {
  const total = Object.values(counts).reduce((a, b) => a + b, 0);
  const ended = total - counts.queued - counts.running;
  return html`<section class="card"><div class="empty">
    <h2>${isOver ? "No result" : "Sweeping …"}</h2>
    <p>${isOver ? "It ended before its last sweep did." : `${ended} of ${total} sweeps are through; the rates are shown after the last.`}</p>
  </div></section>`;
}

function Result({ result }) {
  return html`<section class="card">
    <header><h2>${result.batch_size === null ? "Every batch size" : `Batch size ${result.batch_size}`}</h2></header>
    <div class="body stack">
      ${result.inconclusive && html`<p class="warning">${result.inconclusive}</p>`}
      ${result.curve.learning_rate.length > 0 && html`<${RangeTestChart} result=${result} />`}
      <dl class="facts">
        <div><dt><${Stroke} tone="--muted" dash="5 4" /> Learning begins</dt><dd><${Uncertain} of=${result.low} rate /></dd></div>
        <div><dt><${Stroke} tone="--accent" /> Suggestion</dt><dd><strong><${Uncertain} of=${result.suggestion} rate /></strong></dd></div>
        <div><dt><${Stroke} tone="--infeasible" dash="5 4" /> Divergence edge</dt><dd><${Uncertain} of=${result.high} rate /></dd></div>
      </dl>
    </div>
  </section>`;
}
