/** What can be taken away from a job: its trials and reports as files, its report as a page, its plots as pictures. */

import { withQuery } from "../api.js";
import { Menu } from "../components/pieces.js";
import { words } from "../format.js";
import { html } from "../vendor/preact-htm.js";

const TRIALS = { csv: "CSV", jsonl: "JSON lines", parquet: "Parquet", optuna: "Optuna" };
const REPORTS = { csv: "CSV", jsonl: "JSON lines", parquet: "Parquet" };
const IMAGES = { svg: "SVG", png: "PNG" };

/** @param {{job: object}} props */
export function JobFiles({ job }) {
  const here = `/v1/jobs/${job.id}`;
  const exports = (formats, rows) =>
    Object.entries(formats).map(([format, name]) => html`<a href=${withQuery(`${here}/export`, { format, rows })} download>${name}</a>`);
  return html`<${Menu} label="Export">
    <${Row} name="Trials">${exports(TRIALS, "trials")}<//>
    <${Row} name="Learning curves">${exports(REPORTS, "reports")}<//>
    ${job.kind === "tune" && html`<${Row} name="Report"><a href="${here}/report" target="_blank" rel="noopener">Web page</a><//>`}
    <h3>Plots</h3>
    ${plotsOf(job).map((kind) => html`<${Row} name=${words(kind)}><${Images} stem="${here}/plots/${kind}" name=${words(kind)} /><//>`)}
  <//>`;
}

/** One picture in its formats, in the colours of the page. @param {{stem: string, name: string}} props */
function Images({ stem, name }) {
  const { theme } = document.documentElement.dataset;
  return Object.entries(IMAGES).map(
    ([format, label]) =>
      html`<a href=${withQuery(`${stem}.${format}`, { theme })} target="_blank" rel="noopener" aria-label="${name} as ${label}">${label}</a>`,
  );
}

function Row({ name, children }) {
  return html`<div class="menu-row"><span>${name}</span><span class="actions">${children}</span></div>`;
}

/** Kinds of figure that can show something of a job. */
function plotsOf(job) {
  if (job.kind === "range_test") return ["range_test", "curves"];
  if (job.kind === "refit") return ["curves"];
  const params = Object.keys(job.search_space_resolved);
  const hasMap = params.includes("learning_rate") && params.includes("batch_size");
  return [
    "history",
    "curves",
    "slice",
    ...(hasMap ? ["heatmap"] : []),
    "sensitivity",
    "importances",
    ...(job.spec.objectives.length > 1 ? ["pareto"] : []),
  ];
}
