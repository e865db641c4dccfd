/** What was asked: the specification with every default, as it can be posted again. */

import { Code } from "../components/pieces.js";
import { curlOf } from "../form/curl.js";
import { html } from "../vendor/preact-htm.js";

/** @param {{job: object}} props */
export function JobSpec({ job }) {
  const text = JSON.stringify(job.spec, null, 2);
  return html`<div class="grid-2">
    <section class="card">
      <header><h2>Specification</h2><span class="note">every default written out</span></header>
      <div class="body"><${Code} text=${text} label="The specification as JSON" /></div>
    </section>
    <section class="card">
      <header><h2>The same again</h2></header>
      <div class="body stack">
        <p class="note">This command submits the same job. The seed is part of it: with one trial at a time the search repeats itself exactly.</p>
        <${Code} text=${curlOf(job.spec)} label="A command that submits the job again" />
      </div>
    </section>
  </div>`;
}
