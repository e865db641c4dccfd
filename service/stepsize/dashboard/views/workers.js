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
          ({ slot, trial }) => html`<li class="slot ${trial ? "busy" : ""}">
            <span><strong>${slot.device}</strong> <span class="muted">slot ${slot.index} · ${slot.cpus} CPU${slot.gpus ? ` · ${slot.gpus} GPU` : ""}</span></span>
            ${trial ? html`<a href=${href(["jobs", trial.job_id, "trials", String(trial.number)])}>trial ${trial.number} of ${trial.job_id.slice(0, 12)}…</a>` : html`<span class="muted">free</span>`}
          </li>`,
        )}
      </ul>
      <p class="note">Trainers: ${worker.trainers.map((trainer) => `${trainer.name} ${trainer.version}`).join(", ")}</p>
    </div>
  </section>`;
}

/** Give each running trial a slot of its device: the record names the device, not the slot. */
function placesOf(worker) {
  const waiting = worker.alive ? [...worker.running] : [];
  return worker.slots.map((slot) => {
    const at = waiting.findIndex((trial) => trial.device === slot.device || trial.device === null);
    return { slot, trial: at < 0 ? null : waiting.splice(at, 1)[0] };
  });
}
