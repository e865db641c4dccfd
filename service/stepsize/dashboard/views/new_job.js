/** A form that builds a job from a trainer's schema, says what is wrong with it before it is sent, and shows its curl. */

import { post, Problem, randomKey } from "../api.js";
import { Loading, ProblemNote, say } from "../components/feedback.js";
import { Code } from "../components/pieces.js";
import { asksForTheSame, copyOf } from "../form/copy.js";
import { curlOf } from "../form/curl.js";
import { applies, draftOf, emptyDraft, objectiveOf, specOf } from "../form/draft.js";
import { CatalogueFields, errorsAt, ParamRow, SelectField, TextField } from "../form/fields.js";
import { formatCount, words } from "../format.js";
import { useResource, useTitle } from "../hooks.js";
import { go, href } from "../router.js";
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";

const CHECK_AFTER_MS = 350;
const AWAY_RETRY_MS = 2000;
const BUDGET = {
  max_trials: "Trials of any outcome; empty: 40, or every cell of a grid.",
  max_parallel_trials: "At once; empty: as many as there are slots.",
  timeout_s: "Seconds after which no trial starts.",
  trial_timeout_s: "Longest run of one trial, in seconds.",
  max_failed_trials: "The job fails after this many failures.",
};
const TOGETHER = {
  "each alone": "Each trial has a slot to itself.",
  "as measured": "As many of one shape as train fastest, measured before the first of each; alone where that is fastest.",
  "at most": "So many of one shape, in one slot.",
};
const SEEDS = {
  fresh: "Each trial has its own: what is found holds for trainings in general.",
  shared: "One for all: what is found holds for that seed alone.",
  blocks: "A few in turn: trial i trains with seed i mod n.",
  unknown: "Clients train with seeds that nobody has noted: the answer is a rough guess.",
};

/** @param {{clone: string | null, dataset: string | null}} props the job to copy, or the data set to learn */
export function NewJobView({ clone, dataset }) {
  useTitle(clone ? "Clone a job" : "New job");
  const needed = {
    trainers: useResource("/trainers"),
    samplers: useResource("/samplers"),
    pruners: useResource("/pruners"),
    datasets: useResource("/datasets"),
    ...(clone && { source: useResource(`/jobs/${clone}`) }),
  };
  const failed = Object.values(needed).find((one) => one.error);
  const isReady = Object.values(needed).every((one) => one.data);
  const reload = () => Object.values(needed).forEach((one) => one.reload());
  if (isReady) {
    const { trainers, samplers, pruners, datasets, source } = needed;
    const catalogue = { trainers: trainers.data.items, samplers: samplers.data.items, pruners: pruners.data.items, datasets: datasets.data.items };
    return html`<${Editor} catalogue=${catalogue} spec=${source?.data.spec ?? null} dataset=${dataset} />`;
  }
  return html`<div class="page">
    <div class="page-head"><h1>${clone ? "Clone a job" : "New job"}</h1></div>
    ${failed ? html`<${ProblemNote} problem=${failed.error} onRetry=${reload} />` : html`<${Loading} what="the catalogue" height=${520} />`}
  </div>`;
}

/** The form; or JSON, for what the form has no fields for. */
function Editor({ catalogue, spec, dataset }) {
  const [draft, setDraft] = useState(() => firstDraft(catalogue.trainers, catalogue.datasets, { spec, dataset }));
  const [json, setJson] = useState(null);
  const isSayable = useIsSayable(spec, catalogue.trainers);
  const trainer = catalogue.trainers.find((one) => one.name === draft.trainer);
  const writeJson = () => setJson(toJson(specOf(draft, trainer)));
  return html`<div class="page">
    <div class="page-head">
      <h1>${spec ? "Clone a job" : "New job"}</h1>
      <div class="actions">
        ${isSayable && json === null && html`<button type="button" class="button" onClick=${writeJson}>Edit as JSON</button>`}
        ${isSayable && json !== null && html`<button type="button" class="button" onClick=${() => setJson(null)}>Back to the form</button>`}
      </div>
    </div>
    ${isSayable === null && html`<${Loading} what="the specification" height=${520} />`}
    ${isSayable && json === null && html`<${JobForm} catalogue=${catalogue} trainer=${trainer} draft=${draft} setDraft=${setDraft} />`}
    ${isSayable && json !== null && html`<${JsonForm} text=${json} onChange=${setJson} />`}
    ${isSayable === false && html`<${JsonForm} text=${json ?? toJson(copyOf(spec))} onChange=${setJson} note="The form has no fields for all of this job; this is its specification." />`}
  </div>`;
}

function toJson(spec) {
  return JSON.stringify(spec, null, 2);
}

function firstDraft(trainers, datasets, { spec, dataset }) {
  const source = spec && trainers.find((one) => one.name === spec.trainer.name);
  if (source) return draftOf(source, spec);
  const data = datasets.find((one) => one.name === dataset);
  const offered = usualFirst(trainers);
  const learner = offered.find((one) => data && datasetParam(one, data)) ?? offered[0];
  const draft = emptyDraft(learner);
  const name = data && datasetParam(learner, data);
  if (name) Object.assign(draft.params[name], { mode: "fixed", value: dataset });
  return draft;
}

/** The trainers, those first that most people come for: the catalogue is sorted by name. */
function usualFirst(trainers) {
  const usual = ["image_classifier", "tabular_classifier"].map((name) => trainers.find((one) => one.name === name));
  return [...usual.filter(Boolean), ...trainers];
}

/** The parameter that names the data set a trainer learns from. @returns {string | undefined} */
function datasetParam(trainer, data) {
  return Object.entries(trainer.params_schema.properties).find(([, schema]) => learnsFrom(schema, data))?.[0];
}

/** Whether a parameter takes such data: its samples and its target are of the kinds that are learned. @returns {boolean} */
function learnsFrom(schema, data) {
  return schema["x-dataset"] === data.kind && (schema["x-target"] ?? "classes") === (data.target_kind ?? "classes");
}

/** Whether the form can say all of a job: the service makes the same of what the form says. @returns {boolean | null} null: not known yet */
function useIsSayable(spec, trainers) {
  const [isSayable, setIsSayable] = useState(spec ? null : true);
  useEffect(() => {
    if (!spec) return;
    const trainer = trainers.find((one) => one.name === spec.trainer.name);
    const said = trainer ? post("/jobs?dry_run=true", specOf(draftOf(trainer, spec), trainer)) : Promise.resolve({ spec: null });
    said.then(
      (answer) => setIsSayable(asksForTheSame(answer.spec, spec)),
      () => setIsSayable(false),
    );
  }, []);
  return isSayable;
}

function JobForm({ catalogue, trainer, draft, setDraft }) {
  const { trainers, samplers, pruners, datasets } = catalogue;
  const body = useMemo(() => specOf(draft, trainer), [draft, trainer]);
  const check = useDryRun(body);
  const change = (changes) => setDraft((before) => ({ ...before, ...changes }));
  const choose = (name) => setDraft({ ...emptyDraft(trainers.find((one) => one.name === name)), name: draft.name, labels: draft.labels });
  const wrong = (pointer) => errorsAt(check.problem?.errors ?? [], pointer);

  return html`<form class="form-layout" onSubmit=${(event) => (event.preventDefault(), check.submit())}>
    <div class="stack">
      <section class="card">
        <header><h2>What to train</h2></header>
        <div class="body form-grid">
          <${SelectField} id="trainer" label="Trainer" value=${draft.trainer} options=${trainers.map((one) => one.name)} help=${trainer.help} wrong=${wrong("/trainer/name")} onChange=${choose} />
          <${TextField} id="name" label="Name" value=${draft.name} placeholder="mnist-cnn" wrong=${wrong("/name")} onInput=${(name) => change({ name })} />
          <${TextField} id="labels" label="Labels" value=${draft.labels} placeholder="team:vision, run:3" help="key:value, separated by commas" wrong=${wrong("/labels")} onInput=${(labels) => change({ labels })} />
        </div>
      </section>
      <${ParamsCard} trainer=${trainer} datasets=${datasets} draft=${draft} wrong=${wrong} onChange=${change} />
      <${ObjectivesCard} trainer=${trainer} objectives=${draft.objectives} wrong=${wrong} onChange=${(objectives) => change({ objectives })} />
      <section class="card">
        <header><h2>How to search</h2></header>
        <div class="body grid-2">
          <${CatalogueFields} id="sampler" label="Sampler" entries=${samplers} chosen=${draft.sampler} wrong=${wrong} onChange=${(sampler) => change({ sampler })} />
          <${CatalogueFields} id="pruner" label="Pruner" entries=${pruners} chosen=${draft.pruner} wrong=${wrong} onChange=${(pruner) => change({ pruner })} />
        </div>
        <div class="body form-grid"><${SeedFields} seeds=${draft.seeds} wrong=${wrong("/seeds")} onChange=${(seeds) => change({ seeds })} /><${ConfirmFields} confirm=${draft.confirm} wrong=${wrong("/confirm")} onChange=${(confirm) => change({ confirm })} />
          ${trainer.capabilities.fuse && html`<${TogetherFields} together=${draft.together} wrong=${wrong("/resources/fuse")} onChange=${(together) => change({ together })} />`}</div>
      </section>
      <section class="card">
        <header><h2>Budget</h2></header>
        <div class="body form-grid">
          ${Object.entries(BUDGET).map(
            ([name, help]) => html`<${TextField} id=${name} label=${words(name).replace(/ s$/, " (seconds)")} value=${draft.budget[name] ?? ""} help=${help} isNumber=${true} wrong=${wrong(`/budget/${name}`)}
              onInput=${(value) => change({ budget: { ...draft.budget, [name]: value } })} />`,
          )}
        </div>
      </section>
    </div>
    <${Side} check=${check} body=${body} />
  </form>`;
}

/** A job as the JSON that is posted, for all there is and those who have it at hand. */
function JsonForm({ text, onChange, note }) {
  const body = useMemo(() => parsed(text), [text]);
  const check = useDryRun(body);
  return html`<form class="form-layout" onSubmit=${(event) => (event.preventDefault(), check.submit())}>
    <section class="card">
      <header><h2>Specification</h2><span class="note">${note ?? "the body of POST /v1/jobs"}</span></header>
      <div class="body"><textarea class="json" aria-label="Specification as JSON" spellcheck="false" aria-invalid=${body === null} value=${text} onInput=${(event) => onChange(event.target.value)} /></div>
    </section>
    <${Side} check=${check} body=${body} />
  </form>`;
}

/** @param {string} text @returns {object | null} null: it is no JSON object */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function Side({ check, body }) {
  return html`<div class="side">
    <${Verdict} check=${check} />
    <section class="card">
      <header><h2>The same from a terminal</h2></header>
      <div class="body">${body ? html`<${Code} text=${curlOf(body)} label="A command that submits this job" />` : html`<p class="note">Shown once the JSON can be read.</p>`}</div>
    </section>
  </div>`;
}

function ParamsCard({ trainer, datasets, draft, wrong, onChange }) {
  const [text, setText] = useState("");
  const properties = trainer.params_schema.properties;
  const shown = Object.entries(properties).filter(([name, schema]) => applies(schema, draft, properties) && name.includes(text.trim().toLowerCase().replaceAll(" ", "_")));
  const known = (schema) => datasets.filter((one) => learnsFrom(schema, one) && !one.problem).map((one) => one.name);
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
        ([name, schema]) => html`<${ParamRow} key=${name} name=${name} schema=${schema} param=${draft.params[name]} known=${known(schema)} hasRangeTest=${trainer.capabilities.range_test}
          wrong=${[...wrong(`/search_space/${name}`), ...wrong(`/trainer/params/${name}`)]} onChange=${(changes) => set(name, changes)} />`,
      )}
      ${shown.length === 0 && html`<p class="note">No parameter of that name.</p>`}
    </div>
  </section>`;
}

/** Which seed a trial trains with. */
function SeedFields({ seeds, wrong, onChange }) {
  return html`
    <${SelectField} id="seeds" label="Training seeds" value=${seeds.rule} options=${["fresh", "shared", "blocks", ...(seeds.rule === "unknown" ? ["unknown"] : [])]} help=${SEEDS[seeds.rule]} wrong=${seeds.rule === "blocks" ? [] : wrong}
      onChange=${(rule) => onChange({ rule, n: rule === "blocks" ? "4" : "" })} />
    ${seeds.rule === "blocks" && html`<${TextField} id="blocks" label="How many seeds" value=${seeds.n} isNumber=${true} wrong=${wrong} onInput=${(n) => onChange({ ...seeds, n })} />`}
  `;
}

/** How much of the budget is kept to check the answer. */
function ConfirmFields({ confirm, wrong, onChange }) {
  return html`
    <${SelectField} id="confirm" label="Check the answer" value=${confirm.choice} options=${["as usual", "yes", "no", "a share"]} wrong=${confirm.choice === "a share" ? [] : wrong}
      help="Some of the trials train what the answer recommends with fresh seeds; as usual: 15 % from 20 trials on." onChange=${(choice) => onChange({ choice, share: choice === "a share" ? "0.15" : "" })} />
    ${confirm.choice === "a share" && html`<${TextField} id="share" label="Share of the trials" value=${confirm.share} isNumber=${true} wrong=${wrong} onInput=${(share) => onChange({ ...confirm, share })} />`}
  `;
}

/** How many trials train as one in a slot. */
function TogetherFields({ together, wrong, onChange }) {
  const isCounted = together.choice === "at most";
  return html`
    <${SelectField} id="together" label="Train together" value=${together.choice} options=${["each alone", "as measured", "at most"]} help=${TOGETHER[together.choice]} wrong=${isCounted ? [] : wrong}
      onChange=${(choice) => onChange({ choice, n: choice === "at most" ? "8" : "" })} />
    ${isCounted && html`<${TextField} id="fuse" label="How many at most" value=${together.n} isNumber=${true} wrong=${wrong} onInput=${(n) => onChange({ ...together, n })} />`}
  `;
}

function ObjectivesCard({ trainer, objectives, wrong, onChange }) {
  const names = trainer.metrics.map((metric) => metric.name);
  const free = names.filter((name) => objectives.every((objective) => objective.metric !== name));
  const set = (index, changed) => onChange(objectives.map((objective, at) => (at === index ? { ...objective, ...changed } : objective)));
  return html`<section class="card">
    <header><h2>What is good</h2>${objectives.length > 1 && html`<span class="note">several: the answer is a Pareto front</span>`}</header>
    <div class="body stack">
      ${objectives.map(
        (objective, index) => html`<div class="form-grid" role="group" aria-label="Objective ${index + 1}">
          <${SelectField} id="metric-${index}" label="Metric" value=${objective.metric} options=${names.filter((name) => name === objective.metric || free.includes(name))} wrong=${wrong(`/objectives/${index}/metric`)}
            onChange=${(name) => set(index, objectiveOf(trainer, name))} />
          <${SelectField} id="direction-${index}" label="Direction" value=${objective.direction} options=${["minimize", "maximize"]} wrong=${wrong(`/objectives/${index}/direction`)} onChange=${(direction) => set(index, { direction })} />
          <${TextField} id="target-${index}" label="Target" value=${objective.target} help=${index ? "" : "Ends the job as soon as a trial is this good; empty: none."} isNumber=${true} wrong=${wrong(`/objectives/${index}/target`)} onInput=${(target) => set(index, { target })} />
          ${objectives.length > 1 && html`<button type="button" class="button tight" aria-label="Remove objective ${objective.metric}" onClick=${() => onChange(objectives.filter((one) => one !== objective))}>Remove</button>`}
        </div>`,
      )}
      ${free.length > 0 && html`<div><button type="button" class="button tight" onClick=${() => onChange([...objectives, objectiveOf(trainer, free[0])])}>Add an objective</button></div>`}
    </div>
  </section>`;
}

function Verdict({ check }) {
  const { answer, problem, isSending, isReadable } = check;
  return html`<section class="card" aria-label="Submit">
    <div class="body stack" style=${{ paddingTop: "18px" }}>
      <div class="stack" aria-live="polite" style=${{ minHeight: "46px" }}>
        ${!isReadable && html`<p class="problem">This is not a JSON object.</p>`}
        ${isReadable && problem && html`<${ProblemNote} problem=${problem} />`}
        ${isReadable && !problem && (answer ? html`<${Ready} answer=${answer} />` : html`<p class="muted">Checking …</p>`)}
      </div>
      <button class="button primary" disabled=${isSending || !isReadable || Boolean(problem)}>${isSending ? "Submitting …" : "Submit job"}</button>
    </div>
  </section>`;
}

function Ready({ answer }) {
  const nSearched = Object.keys(answer.spec.search_space ?? {}).length;
  const { max_trials: maxTrials } = answer.spec.budget;
  const checks = answer.confirm_trials ? `, ${formatCount(answer.confirm_trials)} of them to check the answer` : "";
  return html`
    <p>
      <strong>Ready.</strong> ${maxTrials ? formatCount(maxTrials) : "As many as there is time for"} trials over ${nSearched} searched ${nSearched === 1 ? "parameter" : "parameters"}${answer.cells ? `, ${formatCount(answer.cells)} cells of a grid` : ""}${checks}.
    </p>
    ${answer.warnings.map((warning) => html`<p class="warning">${warning}</p>`)}`;
}

/**
 * Ask the service what it would make of a body, shortly after the last change; and send it.
 *
 * @param {object | null} body null: there is none that can be sent
 */
function useDryRun(body) {
  const [state, setState] = useState({ answer: null, problem: null, isSending: false });
  const text = JSON.stringify(body);
  const isAway = state.problem?.status === 0;
  const key = useRef({ text: "", key: "" });

  useEffect(() => {
    if (!body) return undefined;
    let isStale = false;
    let timer = 0;
    const ask = async () => {
      try {
        const answer = await post("/jobs?dry_run=true", body);
        if (!isStale) setState((before) => ({ ...before, answer, problem: null }));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (isStale) return;
        setState((before) => ({ ...before, problem: error }));
        if (error.status === 0) timer = setTimeout(ask, AWAY_RETRY_MS);
      }
    };
    timer = setTimeout(ask, CHECK_AFTER_MS);
    return () => {
      isStale = true;
      clearTimeout(timer);
    };
  }, [text, isAway]);

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
  return { ...state, isReadable: body !== null, submit };
}
