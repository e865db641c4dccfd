/** A form that builds a job from a trainer's schema, says what is wrong with it before it is sent, and shows its curl. */

import { post, Problem, randomKey } from "../api.js";
import { Loading, ProblemNote, say } from "../components/feedback.js";
import { Code } from "../components/pieces.js";
import { curlOf } from "../form/curl.js";
import { applies, draftOf, emptyDraft, specOf } from "../form/draft.js";
import { CatalogueFields, errorsAt, ParamRow, SelectField, TextField } from "../form/fields.js";
import { formatCount } from "../format.js";
import { useResource } from "../hooks.js";
import { go, href } from "../router.js";
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";

const CHECK_AFTER_MS = 350;
const BUDGET = {
  max_trials: "Trials of any outcome; empty: 40, or every cell of a grid.",
  max_parallel_trials: "At once; empty: as many as there are slots.",
  timeout_s: "Seconds after which no trial starts.",
  trial_timeout_s: "Longest run of one trial, in seconds.",
  max_failed_trials: "The job fails after this many failures.",
};

/** @param {{clone: string | null}} props */
export function NewJobView({ clone }) {
  const trainers = useResource("/trainers");
  const samplers = useResource("/samplers");
  const pruners = useResource("/pruners");
  const source = useResource(clone ? `/jobs/${clone}` : null);
  const problem = trainers.error ?? samplers.error ?? pruners.error ?? source.error;
  const isReady = trainers.data && samplers.data && pruners.data && (!clone || source.data);
  return html`<div class="page">
    <div class="page-head"><h1>${clone ? "Clone a job" : "New job"}</h1></div>
    ${problem && html`<${ProblemNote} problem=${problem} onRetry=${trainers.reload} />`}
    ${!problem && !isReady && html`<${Loading} what="the catalogue" height=${520} />`}
    ${isReady && html`<${JobForm} trainers=${trainers.data.items} samplers=${samplers.data.items} pruners=${pruners.data.items} spec=${source.data?.spec ?? null} />`}
  </div>`;
}

function JobForm({ trainers, samplers, pruners, spec }) {
  const trainerNamed = (name) => trainers.find((one) => one.name === name) ?? trainers[0];
  const [draft, setDraft] = useState(() => (spec ? draftOf(trainerNamed(spec.trainer.name), spec) : emptyDraft(trainers[0])));
  const trainer = trainerNamed(draft.trainer);
  const body = useMemo(() => specOf(draft, trainer), [draft, trainer]);
  const check = useDryRun(body);
  const change = (changes) => setDraft((before) => ({ ...before, ...changes }));
  const wrong = (pointer) => errorsAt(check.problem?.errors ?? [], pointer);

  return html`<form class="form-layout" onSubmit=${(event) => (event.preventDefault(), check.submit())}>
    <div class="stack">
      <section class="card">
        <header><h2>What to train</h2></header>
        <div class="body form-grid">
          <${SelectField} id="trainer" label="Trainer" value=${draft.trainer} options=${trainers.map((one) => one.name)} help=${trainer.help} wrong=${wrong("/trainer/name")}
            onChange=${(name) => setDraft({ ...emptyDraft(trainerNamed(name)), name: draft.name, labels: draft.labels })} />
          <${TextField} id="name" label="Name" value=${draft.name} placeholder="mnist-cnn" wrong=${wrong("/name")} onInput=${(name) => change({ name })} />
          <${TextField} id="labels" label="Labels" value=${draft.labels} placeholder="team:vision, run:3" help="key:value, separated by commas" wrong=${wrong("/labels")} onInput=${(labels) => change({ labels })} />
        </div>
      </section>
      <${ParamsCard} trainer=${trainer} draft=${draft} wrong=${wrong} onChange=${change} />
      <${ObjectiveCard} trainer=${trainer} draft=${draft} wrong=${wrong} onChange=${change} />
      <section class="card">
        <header><h2>How to search</h2></header>
        <div class="body grid-2">
          <${CatalogueFields} id="sampler" label="Sampler" entries=${samplers} chosen=${draft.sampler} wrong=${wrong} onChange=${(sampler) => change({ sampler })} />
          <${CatalogueFields} id="pruner" label="Pruner" entries=${pruners} chosen=${draft.pruner} wrong=${wrong} onChange=${(pruner) => change({ pruner })} />
        </div>
      </section>
      <section class="card">
        <header><h2>Budget</h2></header>
        <div class="body form-grid">
          ${Object.entries(BUDGET).map(
            ([name, help]) => html`<${TextField} id=${name} label=${name.replaceAll("_", " ")} value=${draft.budget[name] ?? ""} help=${help} isNumber=${true} wrong=${wrong(`/budget/${name}`)}
              onInput=${(value) => change({ budget: { ...draft.budget, [name]: value } })} />`,
          )}
        </div>
      </section>
    </div>
    <div class="side">
      <${Verdict} check=${check} body=${body} />
      <section class="card">
        <header><h2>The same from a terminal</h2></header>
        <div class="body"><${Code} text=${curlOf(body)} label="A command that submits this job" /></div>
      </section>
    </div>
  </form>`;
}

function ParamsCard({ trainer, draft, wrong, onChange }) {
  const [text, setText] = useState("");
  const properties = trainer.params_schema.properties;
  const shown = Object.entries(properties).filter(([name, schema]) => applies(schema, draft, properties) && name.includes(text.trim().toLowerCase().replaceAll(" ", "_")));
  const set = (name, changes) => onChange({ params: { ...draft.params, [name]: { ...draft.params[name], ...changes } } });
  return html`<section class="card">
    <header>
      <h2>Parameters</h2>
      <span class="note">left alone, fixed, or searched</span>
      <input class="tight aside" type="search" aria-label="Find a parameter" placeholder="Find a parameter" value=${text} onInput=${(event) => setText(event.target.value)} />
    </header>
    <div class="body">
      ${wrong("/search_space").length > 0 && Object.keys(draft.params).every((name) => wrong(`/search_space/${name}`).length === 0) && html`<p class="problem">${wrong("/search_space").join(" ")}</p>`}
      ${shown.map(
        ([name, schema]) => html`<${ParamRow} key=${name} name=${name} schema=${schema} param=${draft.params[name]} hasRangeTest=${trainer.capabilities.range_test}
          wrong=${[...wrong(`/search_space/${name}`), ...wrong(`/trainer/params/${name}`)]} onChange=${(changes) => set(name, changes)} />`,
      )}
      ${shown.length === 0 && html`<p class="note">No parameter of that name.</p>`}
    </div>
  </section>`;
}

function ObjectiveCard({ trainer, draft, wrong, onChange }) {
  const { objective } = draft;
  const set = (changes) => onChange({ objective: { ...objective, ...changes } });
  const choose = (metric) => set({ metric, direction: trainer.metrics.find((one) => one.name === metric)?.direction ?? objective.direction });
  return html`<section class="card">
    <header><h2>What is good</h2></header>
    <div class="body form-grid">
      <${SelectField} id="metric" label="Metric" value=${objective.metric} options=${trainer.metrics.filter((metric) => metric.direction).map((metric) => metric.name)} wrong=${wrong("/objectives/0/metric")} onChange=${choose} />
      <${SelectField} id="direction" label="Direction" value=${objective.direction} options=${["minimize", "maximize"]} wrong=${wrong("/objectives/0/direction")} onChange=${(direction) => set({ direction })} />
      <${TextField} id="target" label="Target" value=${objective.target} help="Ends the job as soon as a trial is this good; empty: none." isNumber=${true} wrong=${wrong("/objectives/0/target")} onInput=${(target) => set({ target })} />
    </div>
  </section>`;
}

function Verdict({ check, body }) {
  const { answer, problem, isSending } = check;
  const nSearched = Object.keys(body.search_space).length;
  return html`<section class="card" aria-label="Submit">
    <div class="body stack" style=${{ paddingTop: "18px" }}>
      <div aria-live="polite" style=${{ minHeight: "46px" }}>
        ${problem && html`<${ProblemNote} problem=${problem} />`}
        ${
          !problem && answer &&
          html`<p><strong>Ready.</strong> ${formatCount(answer.spec.budget.max_trials ?? 0)} trials over ${nSearched} searched ${nSearched === 1 ? "parameter" : "parameters"}${answer.cells ? `, ${formatCount(answer.cells)} cells of a grid` : ""}.</p>`
        }
        ${!problem && !answer && html`<p class="muted">Checking …</p>`}
        ${!problem && answer?.warnings.map((warning) => html`<p class="warning">${warning}</p>`)}
      </div>
      <button class="button primary" disabled=${isSending || Boolean(problem)}>${isSending ? "Submitting …" : "Submit job"}</button>
    </div>
  </section>`;
}

/** Ask the service what it would make of a body, shortly after the last change; and send it. */
function useDryRun(body) {
  const [state, setState] = useState({ answer: null, problem: null, isSending: false });
  const text = JSON.stringify(body);
  const key = useRef({ text: "", key: "" });

  useEffect(() => {
    let isStale = false;
    const ask = () =>
      post("/jobs?dry_run=true", body).then(
        (answer) => !isStale && setState((before) => ({ ...before, answer, problem: null })),
        (error) => {
          if (!(error instanceof Problem)) throw error;
          if (!isStale) setState((before) => ({ ...before, problem: error }));
        },
      );
    const timer = setTimeout(ask, CHECK_AFTER_MS);
    return () => {
      isStale = true;
      clearTimeout(timer);
    };
  }, [text]);

  const submit = async () => {
    // The same body sent again after a lost answer is the same job.
    if (key.current.text !== text) key.current = { text, key: randomKey() };
    setState((before) => ({ ...before, isSending: true }));
    try {
      const job = await post("/jobs", body, { key: key.current.key });
      say("The job is submitted.");
      go(href(["jobs", job.id]));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setState((before) => ({ ...before, problem: error, isSending: false }));
    }
  };
  return { ...state, submit };
}
