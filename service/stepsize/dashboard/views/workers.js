/** Workers, their slots, and what runs where. */

import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Code } from "../components/pieces.js";
import { Ago } from "../format.js";
import { useResource, useTitle } from "../hooks.js";
import { href } from "../router.js";
import { html } from "../vendor/preact-htm.js";

const REFRESH_MS = 2000;

export function WorkersView() {
  useTitle("Workers");
  const workers = useResource("/workers", { everyMs: REFRESH_MS });
  const items = workers.data?.items ?? [];
  const sorted = [...items].sort((a, b) => b.alive - a.alive);
  return html`<div class="page">
    <div class="page-head"><h1>Workers</h1></div>
    ${workers.error && html`<${ProblemNote} problem=${workers.error} onRetry=${workers.reload} />`}
    ${workers.isLoading && html`<${Loading} what="workers" height=${240} />`}
    ${
      workers.data && items.length === 0 &&
      html`<section class="card"><${Empty} title="No worker yet">
        <p>Workers train the trials. <code>stepsize up</code> starts one beside this page; on another machine, with the same database and data directory, run</p>
        <${Code} text="stepsize worker --slots 2" label="A command that starts a worker" />
      <//></section>`
    }
    ${sorted.map((worker) => html`<${WorkerCard} key=${worker.id} worker=${worker} />`)}
  </div>`;
}

function WorkerCard({ worker }) {
  const places = placesOf(worker);
  return html`<section class="card" aria-label="Worker ${worker.id}">
    <header>
      <h2>${worker.host}</h2>
      <span class="live" data-status=${worker.alive ? "live" : "offline"}>${worker.alive ? "alive" : html`last seen <${Ago} at=${worker.last_seen} />`}</span>
      <span class="note aside"><code>${worker.id}</code> · pid ${worker.pid} · version ${worker.version} · up since <${Ago} at=${worker.started_at} /></span>
    </header>
    <div class="body stack">
      <ul class="slots">
        ${places.map(
          ({ slot, trials }) => html`<li class="slot ${trials.length ? "busy" : ""}">
            <span><strong>${slot.device}</strong> <span class="muted">slot ${slot.index} · ${slot.cpus} CPU${slot.gpus ? ` · ${slot.gpus} GPU` : ""}</span></span>
            ${trials.length ? html`<${Running} trials=${trials} />` : html`<span class="muted">free</span>`}
          </li>`,
        )}
      </ul>
      <p class="note">Trainers: ${worker.trainers.map((trainer) => `${trainer.name} ${trainer.version}`).join(", ")}</p>
    </div>
  </section>`;
}

/** What a slot runs: a trial, or several as one. Ids are shown whole: those of jobs submitted together begin alike. */
function Running({ trials }) {
  const [{ job_id: jobId, group }] = trials;
  const link = (trial, text) => html`<a href=${href(["jobs", jobId, "trials", String(trial.number)])}>${text}</a>`;
  if (trials.length === 1) return html`<span>${link(trials[0], `trial ${trials[0].number} of ${jobId}`)}${group && html` <span class="muted">${group.how}: ${group.why}</span>`}</span>`;
  const numbers = trials.map((trial) => html`${link(trial, trial.number)} `);
  const job = html`<a href=${href(["jobs", jobId])}>${jobId}</a>`;
  return html`<span>trials ${numbers} of ${job} as one: <span class="muted">${group.why}</span></span>`;
}

/** Give each trial, or group of them, a slot of its device: the record names the device, not the slot. */
function placesOf(worker) {
  const waiting = worker.alive ? companiesOf(worker.running) : [];
  return worker.slots.map((slot) => {
    const at = waiting.findIndex(([trial]) => trial.device === slot.device || trial.device === null);
    return { slot, trials: at < 0 ? [] : waiting.splice(at, 1)[0] };
  });
}

/** Trials that are trained as one, together; all others each for itself. */
function companiesOf(trials) {
  const companies = new Map();
  for (const trial of trials) {
    const key = trial.group?.how === "fused" ? `${trial.job_id} ${trial.group.id}` : `${trial.job_id}.${trial.number}`;
    companies.set(key, [...(companies.get(key) ?? []), trial]);
  }
  return [...companies.values()];
}
