/** What can be done with a job; only what its state allows is offered. */

import { post, Problem, remove } from "../api.js";
import { ProblemNote, say } from "../components/feedback.js";
import { Confirm, Dialog } from "../components/pieces.js";
import { readScalar } from "../form/scalars.js";
import { go, href } from "../router.js";
import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { JobFiles } from "./job_files.js";

/** Until then a job may still move on from what was asked of it, and its controls with it. */
const SETTLED_MS = 2000;
const UNFINISHED = ["queued", "running", "paused", "stopping"];
const ACTIONS = [
  { path: "pause", name: "Pause", done: "No new trial starts; running ones finish.", when: (job) => isActive(job) && job.desired === "run" },
  { path: "resume", name: "Resume", done: "The job goes on.", when: (job) => job.state === "paused" || (isActive(job) && job.desired === "pause") },
  { path: "stop", name: "Stop", done: "Running trials finish, then the job is complete.", when: (job) => UNFINISHED.includes(job.state) && ["run", "pause"].includes(job.desired) },
  { path: "retry-failed", name: "Retry failed", done: "Failed trials run again.", when: (job) => job.progress.counts.failed > 0 && job.state !== "stopping" },
];

/** @param {{job: object, onChange: (job: object) => void}} props */
export function JobControls({ job, onChange }) {
  const [asked, setAsked] = useState(null);
  const [problem, setProblem] = useState(null);
  const [isBusy, setIsBusy] = useState(false);
  const actions = useRef(null);

  const actedAt = useRef(-Infinity);

  // A control that has done its work goes, and another takes its place: for the keyboard too.
  useEffect(() => {
    if (isBusy || performance.now() - actedAt.current > SETTLED_MS) return;
    if (document.activeElement === document.body) actions.current.querySelector("button")?.focus();
  });

  const act = async ({ path, done }) => {
    setIsBusy(true);
    setProblem(null);
    try {
      onChange(await post(`/jobs/${job.id}/${path}`));
      say(done);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
    actedAt.current = performance.now();
    setIsBusy(false);
    setAsked(null);
  };

  return html`<div class="actions" ref=${actions}>
      ${ACTIONS.filter((action) => action.when(job)).map(
        (action) => html`<button key=${action.path} class="button" disabled=${isBusy} onClick=${() => act(action)}>${action.name}</button>`,
      )}
      ${job.kind === "tune" && UNFINISHED.includes(job.state) && html`<button class="button" onClick=${() => setAsked("enqueue")}>Enqueue</button>`}
      ${job.kind === "tune" && html`<a class="button" href=${href(["new"], { clone: job.id })}>Clone</a>`}
      <${JobFiles} job=${job} />
      ${
        UNFINISHED.includes(job.state)
          ? html`<button class="button danger" onClick=${() => setAsked("cancel")}>Cancel</button>`
          : html`<button class="button danger" onClick=${() => setAsked("delete")}>Delete</button>`
      }
    </div>
    ${problem && html`<div style=${{ width: "100%" }}><${ProblemNote} problem=${problem} /></div>`}
    ${asked === "enqueue" && html`<${EnqueueDialog} job=${job} onClose=${() => setAsked(null)} />`}
    ${
      asked === "cancel" &&
      html`<${Confirm} title="Cancel this job?" verb="Cancel the job" back="Keep it running" isBusy=${isBusy}
        onConfirm=${() => act({ path: "cancel", done: "The job is being cancelled." })} onClose=${() => setAsked(null)}>
        Running trials end at once. Results so far are kept.
      <//>`
    }
    ${asked === "delete" && html`<${DeleteDialog} job=${job} onClose=${() => setAsked(null)} />`}`;
}

function isActive(job) {
  return job.state === "queued" || job.state === "running";
}

function DeleteDialog({ job, onClose }) {
  const [problem, setProblem] = useState(null);
  const confirm = async () => {
    try {
      await remove(`/jobs/${job.id}`);
      say("The job is deleted.");
      go("#/jobs");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  };
  return html`<${Confirm} title="Delete this job?" verb="Delete for ever" back="Keep it" onConfirm=${confirm} onClose=${onClose}>
    Its trials, reports, logs and models go with it.
    ${problem && html`<${ProblemNote} problem=${problem} />`}
  <//>`;
}

/** A configuration of one's own; what is left empty is sampled. */
function EnqueueDialog({ job, onClose }) {
  const [problem, setProblem] = useState(null);
  const space = Object.entries(job.search_space_resolved);
  const submit = async (event) => {
    event.preventDefault();
    const params = {};
    for (const [name, value] of new FormData(event.target)) if (value !== "") params[name] = readScalar(value);
    try {
      const trial = await post(`/jobs/${job.id}/trials`, { params });
      say(`Trial ${trial.number} is queued.`);
      onClose();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  };
  const start = job.best?.params ?? {};
  return html`<${Dialog} title="Enqueue a configuration" onClose=${onClose}>
    <p class="muted small">It is tried next. What you leave empty is chosen by the search.</p>
    <form class="form-grid" id="enqueue" onSubmit=${submit}>
      ${space.map(([name, range]) => html`<${EnqueueField} name=${name} range=${range} start=${start[name]} />`)}
    </form>
    ${problem && html`<${ProblemNote} problem=${problem} />`}
    <div class="actions end">
      <button class="button" onClick=${onClose}>Close</button>
      <button class="button primary" form="enqueue">Enqueue</button>
    </div>
  <//>`;
}

function EnqueueField({ name, range, start }) {
  const id = `enqueue-${name}`;
  return html`<div class="field">
    <label for=${id}>${name}</label>
    ${
      range.type === "categorical"
        ? html`<select id=${id} name=${name}>
            <option value="">sampled</option>
            ${range.choices.map((choice) => html`<option value=${JSON.stringify(choice)}>${String(choice)}</option>`)}
          </select>`
        : html`<input id=${id} name=${name} inputmode="decimal" autocomplete="off" placeholder=${start ?? "sampled"} />`
    }
    <span class="help">${range.type === "categorical" ? "one of its choices" : `${range.low} … ${range.high}`}</span>
  </div>`;
}
