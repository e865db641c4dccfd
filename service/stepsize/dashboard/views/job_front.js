/** The Pareto front of a job with several objectives: the trials that no other beats in all of them. */

import { withQuery } from "../api.js";
import { FrontChart } from "../charts/front.js";
import { Chart, Choice, NOTHING_YET } from "../components/chart_card.js";
import { formatCount, formatParam, formatValue } from "../format.js";
import { useResource } from "../hooks.js";
import { href } from "../router.js";
import { html, useMemo, useState } from "../vendor/preact-htm.js";

const MAX_OTHERS = 300;
const MAX_ROWS = 100;

/** @param {{job: object, version: number}} props */
export function JobFront({ job, version }) {
  const front = useResource(`/jobs/${job.id}/pareto`, { version });
  const completed = useResource(withQuery(`/jobs/${job.id}/trials`, { state: "completed", sort: "-number", limit: MAX_OTHERS }), { version });
  const { objectives } = job.spec;
  const names = objectives.map((objective) => objective.metric);
  const [chosen, setChosen] = useState({ across: names[0], up: names[1] });
  const named = (name) => objectives.find((objective) => objective.metric === name);
  const trials = front.data?.items ?? [];
  const others = useMemo(() => beaten(completed.data?.items ?? [], trials, names), [completed.data, front.data]);
  return html`<section class="card wide" aria-label="Pareto front">
    <header>
      <h2>Pareto front</h2>
      <span class="note">${front.data ? frontNote(front.data, others) : ""}</span>
      ${
        names.length > 2 &&
        html`<div class="actions aside">
          <${Choice} label="Across" names=${names.filter((name) => name !== chosen.up)} value=${chosen.across} onChange=${(across) => setChosen({ ...chosen, across })} />
          <${Choice} label="Up" names=${names.filter((name) => name !== chosen.across)} value=${chosen.up} onChange=${(up) => setChosen({ ...chosen, up })} />
        </div>`
      }
    </header>
    <div class="body">
      <${Chart} resource=${front} what="the front" height=${320} isEmpty=${(data) => data.items.length === 0} why=${() => (job.finished_at === null ? NOTHING_YET : "Nothing to draw: no trial completed with a value of every objective.")}>
        ${() => html`<${FrontChart} front=${trials} others=${others} objectives=${objectives} across=${named(chosen.across)} up=${named(chosen.up)} />`}
      <//>
    </div>
    ${trials.length > 0 && html`<${FrontTable} job=${job} trials=${trials} names=${names} />`}
  </section>`;
}

function frontNote({ items, n_completed: nCompleted }, others) {
  const thinned = items.length + others.length < nCompleted ? `; of the others the latest ${formatCount(others.length)} are shown` : "";
  return `${formatCount(items.length)} of ${formatCount(nCompleted)} completed trials are beaten by none${thinned}`;
}

/** Completed trials that are not on the front and have a value of every objective. */
function beaten(completed, front, names) {
  const unbeaten = new Set(front.map((trial) => trial.number));
  return completed.filter((trial) => !unbeaten.has(trial.number) && names.every((name) => name in trial.values));
}

function FrontTable({ job, trials, names }) {
  const params = Object.keys(job.search_space_resolved);
  return html`<div class="table-scroll low" tabindex="0" role="region" aria-label="Trials on the front">
    <table>
      <thead>
        <tr>
          <th scope="col" class="number">Trial</th>
          ${[...names, ...params].map((name) => html`<th scope="col" class="number">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${trials.slice(0, MAX_ROWS).map(
          (trial) => html`<tr key=${trial.number}>
            <td class="number"><a href=${href(["jobs", job.id, "trials", String(trial.number)])}>${trial.number}</a></td>
            ${names.map((name) => html`<td class="number"><strong>${formatValue(trial.values[name])}</strong></td>`)}
            ${params.map((name) => html`<td class="number">${name in trial.params ? formatParam(trial.params[name], name) : "–"}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>
  ${trials.length > MAX_ROWS && html`<p class="body note">The ${MAX_ROWS} best by ${names[0]} are listed.</p>`}`;
}
