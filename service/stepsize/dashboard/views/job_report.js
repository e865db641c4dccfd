/** The learning-rate report: what to use, how sure that is, and why. Drawn from its JSON; no HTML comes from elsewhere. */

import { getText } from "../api.js";
import { RateByBatchChart } from "../charts/report.js";
import { Loading, say, Unavailable } from "../components/feedback.js";
import { Notes, reasonsOf, Share, Table, Uncertain, writeClipboard } from "../components/pieces.js";
import { formatCount, formatDuration, formatNumber, formatRate, formatValue } from "../format.js";
import { useResource, useThrottled } from "../hooks.js";
import { html } from "../vendor/preact-htm.js";

const REFRESH_MS = 5000;
/** Metrics that a table by learning rate has columns for anyway. */
const NO_RESULTS = ["learning_rate", "train_time_s"];

/** @param {{job: object}} props */
export function JobReport({ job }) {
  const report = useResource(`/jobs/${job.id}/report`, { version: useThrottled(job.revision, REFRESH_MS) });
  if (report.error && !report.data) {
    return html`<section class="card"><div class="body"><${Unavailable} problem=${report.error} /></div></section>`;
  }
  if (!report.data) return html`<${Loading} what="the report" height=${420} />`;
  return html`<${Report} report=${report.data} />`;
}

/** @param {{report: object}} props */
function Report({ report }) {
  const { metric } = report.objective;
  return html`<div class="stack">
    <section class="card recommendation" aria-label="Recommendation">
      <p>${report.recommendation}</p>
      <div class="actions">
        ${report.confidence && html`<span class="label">confidence: ${String(report.confidence).replaceAll("_", " ")}</span>`}
        <span class="label">${formatCount(report.n_trials)} trials</span>
        <button class="button tight" onClick=${() => copyMarkdown(report.job_id)}>Copy as Markdown</button>
      </div>
    </section>
    ${(report.caveats ?? []).map((caveat) => html`<p class="warning">${caveat}</p>`)}
    <div class="grid-2">
      <${Section} title="Learning rate by batch size" part=${report.by_batch_size} sentence=${report.scaling_law?.sentence} caveat=${report.scaling_law?.caveat}>
        ${(part) => html`<${RateByBatchChart} rows=${part.rows} law=${report.scaling_law} />`}
      <//>
      <${Section} title="Sensitivity" part=${report.sensitivity} sentence=${report.sensitivity?.sentence}>
        ${(part) => html`<${Sensitivity} part=${part} metric=${metric} noise=${report.noise} />`}
      <//>
      <${Section} title="By learning rate" part=${report.by_learning_rate} isWide>
        ${(part) => html`<${BandTable} bands=${part.bands} metric=${metric} />`}
      <//>
      <${Section} title="By batch size" part=${report.by_batch_size} isWide>
        ${(part) => html`<${BatchTable} rows=${part.rows} metric=${metric} />`}
      <//>
      ${(report.comparisons ?? []).map(
        (comparison) => html`<${Section} title="Compared: ${comparison.parameter}" part=${comparison} sentence=${comparison.sentence} isWide>
          ${(part) => html`<${ChoiceTable} comparison=${part} metric=${metric} />`}
        <//>`,
      )}
      <${Section} title="What matters" part=${report.importances}>
        ${(part) => html`<${Importances} items=${part.items} caveat=${part.caveat} />`}
      <//>
      <${Section} title="Divergence" part=${report.divergence} sentence=${report.divergence?.sentence}>
        ${(part) => html`<${Divergence} part=${part} />`}
      <//>
    </div>
  </div>`;
}

function Section({ title, part, sentence, caveat, isWide = false, children }) {
  if (!part) return null;
  const caveats = [...new Set([part.caveat, caveat].filter(Boolean))];
  return html`<section class="card ${isWide ? "wide" : ""}">
    <header><h2>${title}</h2></header>
    <div class="body stack">
      ${sentence && html`<p>${sentence}</p>`}
      ${children(part)}
      ${caveats.map((text) => html`<p class="note">${text}</p>`)}
    </div>
  </section>`;
}

function Sensitivity({ part, metric, noise }) {
  return html`<dl class="facts">
    <div><dt>Recommended rate</dt><dd><strong><${Uncertain} of=${part.recommended_rate} rate /></strong></dd></div>
    <div><dt>Good region</dt><dd>${formatRate(part.plateau_low)} … ${formatRate(part.plateau_high)}</dd></div>
    <div><dt>Its width in decades</dt><dd><${Uncertain} of=${part.width_decades} /></dd></div>
    <div><dt>Rate of the best single trial</dt><dd>${formatRate(part.best_trial_rate)}</dd></div>
    <div><dt>At batch size</dt><dd>${part.batch_size ?? "any"}</dd></div>
    <div><dt>Good means within</dt><dd>${formatNumber(part.tolerance)} of the best ${metric}</dd></div>
    ${noise?.value !== null && html`<div><dt>Noise between seeds</dt><dd><${Uncertain} of=${noise} /></dd></div>`}
  </dl>`;
}

/** @param {{bands: object[], metric: string}} props */
export function BandTable({ bands, metric }) {
  const others = [...new Set(bands.flatMap((band) => Object.keys(band.metrics)))].filter((name) => name !== metric && !NO_RESULTS.includes(name));
  const notes = reasonsOf(bands.map((band) => band.value));
  return html`<${Table} notes=${notes} label="Results by learning rate" headings=${["Learning rate", "Trials", `Mean ${metric}`, `Best ${metric}`, ...others.map((name) => `Mean ${name}`), "Training time", "Diverged"]}>
    ${bands.map(
      (band) => html`<tr>
        <th scope="row">${formatRate(band.low)} … ${formatRate(band.high)}</th>
        <td class="number">${formatCount(band.n_trials)}</td>
        <td class="number"><${Uncertain} of=${band.value} notes=${notes} /></td>
        <td class="number">${formatValue(band.best)}</td>
        ${others.map((name) => html`<td class="number"><${Uncertain} of=${band.metrics[name]} notes=${notes} /></td>`)}
        <td class="number">${formatDuration(band.train_time_s?.value)}</td>
        <td class="number"><${Share} of=${band.diverged_share} /></td>
      </tr>`,
    )}
  <//>`;
}

function BatchTable({ rows, metric }) {
  const notes = reasonsOf(rows.flatMap((row) => [row.learning_rate, row.value]));
  return html`<${Table} notes=${notes} label="Results by batch size" headings=${["Batch size", "Trials", "Best learning rate", `${metric} at it`, `Best ${metric}`, "Training time", "Diverged"]}>
    ${rows.map(
      (row) => html`<tr>
        <th scope="row">${row.batch_size}</th>
        <td class="number">${formatCount(row.n_trials)}</td>
        <td class="number"><${Uncertain} of=${row.learning_rate} notes=${notes} rate /></td>
        <td class="number"><${Uncertain} of=${row.value} notes=${notes} /></td>
        <td class="number">${formatValue(row.best)}</td>
        <td class="number">${formatDuration(row.train_time_s?.value)}</td>
        <td class="number"><${Share} of=${row.diverged_share} /></td>
      </tr>`,
    )}
  <//>`;
}

function ChoiceTable({ comparison, metric }) {
  const notes = reasonsOf(comparison.choices.flatMap((one) => [one.best, one.mean, one.learning_rate, ...(one.choice === comparison.baseline ? [] : [one.improvement])]));
  return html`<${Table} notes=${notes} label="Choices of ${comparison.parameter}" headings=${[comparison.parameter, "Trials", `Best ${metric}`, `Mean ${metric}`, "Best learning rate", `Against ${comparison.baseline}`]}>
    ${comparison.choices.map(
      (choice) => html`<tr>
        <th scope="row">${String(choice.choice)}</th>
        <td class="number">${formatCount(choice.n_trials)}</td>
        <td class="number"><${Uncertain} of=${choice.best} notes=${notes} /></td>
        <td class="number"><${Uncertain} of=${choice.mean} notes=${notes} /></td>
        <td class="number"><${Uncertain} of=${choice.learning_rate} notes=${notes} rate /></td>
        <td class="number">${choice.choice === comparison.baseline ? html`<span class="muted">baseline</span>` : html`<${Uncertain} of=${choice.improvement} notes=${notes} />`}</td>
      </tr>`,
    )}
  <//>`;
}

/** @param {{items: {parameter: string, importance: object}[], caveat: string | null}} props */
function Importances({ items, caveat }) {
  const most = Math.max(...items.map((item) => item.importance.value ?? 0), 1e-9);
  const notes = reasonsOf(items.map((item) => item.importance)).filter((reason) => reason !== caveat); // which stands below anyway
  return html`<div class="hbars">
    ${items.map(
      (item) => html`
        <span>${item.parameter}</span>
        <span class="hbar" aria-hidden="true"><span style=${{ "--share": `${(100 * (item.importance.value ?? 0)) / most}%` }} /></span>
        <span class="number"><${Uncertain} of=${item.importance} notes=${notes} /></span>
      `,
    )}
  </div><${Notes} notes=${notes} />`;
}

function Divergence({ part }) {
  return html`<dl class="facts">
    <div><dt>Diverged</dt><dd>${formatCount(part.n_diverged)} trials</dd></div>
    <div><dt>Out of memory</dt><dd>${formatCount(part.n_out_of_memory)} trials</dd></div>
    <div><dt>Share</dt><dd><${Share} of=${part.share} /></dd></div>
    ${part.frontier.map(
      (place) => html`<div><dt>Edge at batch size ${place.batch_size}</dt><dd><${Uncertain} of=${place.learning_rate} rate /></dd></div>`,
    )}
  </dl>`;
}

async function copyMarkdown(jobId) {
  await writeClipboard(await getText(`/jobs/${jobId}/report`, { accept: "text/markdown" }));
  say("The report is in the clipboard.");
}
