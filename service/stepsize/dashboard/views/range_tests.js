/** LR range tests: start one, see those there are. */

import { post, Problem, withQuery } from "../api.js";
import { Empty, Loading, ProblemNote } from "../components/feedback.js";
import { Code, Pager } from "../components/pieces.js";
import { ProgressBar, State } from "../components/state.js";
import { readNumber, readScalar } from "../form/scalars.js";
import { Ago } from "../format.js";
import { usePages, useResource, useTitle } from "../hooks.js";
import { go, href } from "../router.js";
import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { Suggestions } from "./range_test.js";

const REFRESH_MS = 3000;
/** While no test is under way: looking through all those jobs costs the service half a second. */
const IDLE_MS = 15_000;
/** Jobs that are looked through at a time. */
const SEARCHED = 500;

export function RangeTestsView() {
  useTitle("Range tests");
  const [everyMs, setEveryMs] = useState(IDLE_MS);
  const jobs = usePages(withQuery("/jobs", { limit: SEARCHED }), { everyMs });
  const tests = jobs.items?.filter((job) => job.kind === "range_test");
  useEffect(() => setEveryMs(tests?.some((job) => job.finished_at === null) ? REFRESH_MS : IDLE_MS), [jobs.items]);
  return html`<div class="page">
    <div class="page-head"><h1>Range tests</h1></div>
    <p class="muted">Raises the learning rate step by step over one short training, and shows where the loss falls fastest and where it blows up. A minute of it saves a search the wrong half of its range.</p>
    <${StartCard} />
    ${jobs.error && html`<${ProblemNote} problem=${jobs.error} onRetry=${jobs.reload} />`}
    <section class="card" aria-label="Range tests">
      ${!tests && !jobs.error && html`<div class="body"><${Loading} what="range tests" height=${240} /></div>`}
      ${tests && (tests.length > 0 ? html`<${TestTable} tests=${tests} />` : html`<${NoTests} />`)}
      <${Pager} pages=${jobs}>${` · those among ${SEARCHED} jobs on each page`}<//>
    </section>
  </div>`;
}

function StartCard() {
  const trainers = useResource("/trainers");
  const [problem, setProblem] = useState(null);
  const able = (trainers.data?.items ?? []).filter((trainer) => trainer.capabilities.range_test);
  const start = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const batches = listOf(form.get("batch_sizes")).map(readScalar);
    const body = {
      name: form.get("name"),
      trainer: { name: form.get("trainer"), params: paramsOf(form.get("params")) },
      ...(batches.length > 0 && { batch_sizes: batches }),
      low: readNumber(form.get("low")),
      high: readNumber(form.get("high")),
    };
    try {
      const made = await post("/range-tests", body);
      go(href(["range-tests", made.id]));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  };
  return html`<section class="card">
    <header><h2>New range test</h2></header>
    <form class="body stack" onSubmit=${start}>
      ${trainers.data && able.length === 0 && html`<p class="note">No trainer here has a range test.</p>`}
      <div class="form-grid">
        <div class="field"><label for="rt-trainer">Trainer</label>
          <select id="rt-trainer" name="trainer">${able.map((trainer) => html`<option>${trainer.name}</option>`)}</select></div>
        <div class="field"><label for="rt-name">Name</label><input id="rt-name" name="name" placeholder="digits-mlp" autocomplete="off" /></div>
        <div class="field"><label for="rt-params">Parameters</label><input id="rt-params" name="params" placeholder="dataset=digits, model=mlp" autocomplete="off" /></div>
        <div class="field"><label for="rt-batches">Batch sizes</label><input id="rt-batches" name="batch_sizes" value="32, 128" /></div>
        <div class="field"><label for="rt-low">From rate</label><input id="rt-low" name="low" value="1e-7" inputmode="decimal" /></div>
        <div class="field"><label for="rt-high">To rate</label><input id="rt-high" name="high" value="10" inputmode="decimal" /></div>
      </div>
      ${problem && html`<${ProblemNote} problem=${problem} />`}
      <div><button class="button primary" disabled=${able.length === 0}>Start</button></div>
    </form>
  </section>`;
}

/** @param {string} line @returns {string[]} */
function listOf(line) {
  return line.split(",").map((one) => one.trim()).filter(Boolean);
}

/** @param {string} line `name=value, name=value` */
function paramsOf(line) {
  return Object.fromEntries(listOf(line).map((pair) => [pair.split("=")[0].trim(), readScalar(pair.split("=").slice(1).join("="))]));
}

function TestTable({ tests }) {
  return html`<div class="table-scroll"><table>
    <thead><tr><th scope="col">Test</th><th scope="col">State</th><th scope="col">Progress</th><th scope="col" style=${{ width: "45%" }}>Suggestion</th><th scope="col">Submitted</th></tr></thead>
    <tbody>
      ${tests.map(
        (job) => html`<tr key=${job.id}>
          <td><div class="job-name"><${TestLink} job=${job} /><span class="small muted">${job.spec.trainer.name}</span></div></td>
          <td><${State} state=${job.state} reason=${job.reason === "max_trials" ? null : job.reason} /></td>
          <td><${ProgressBar} progress=${job.progress} /></td>
          <td><${Suggestions} job=${job} /></td>
          <td class="small muted"><${Ago} at=${job.created_at} /></td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

function TestLink({ job }) {
  return html`<a href=${href(["range-tests", job.id])}>${job.name || job.id}</a>`;
}

function NoTests() {
  const body = JSON.stringify({ trainer: { name: "image_classifier" }, batch_sizes: [32, 128] });
  return html`<${Empty} title="No range test yet">
    <p>Start one above, or from a terminal:</p>
    <${Code} text=${`curl ${location.origin}/v1/range-tests -H 'Content-Type: application/json' \\\n  -d '${body}'`} label="A command that starts a range test" />
  <//>`;
}
