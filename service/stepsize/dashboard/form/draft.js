/**
 * A job as it stands in the form, and what is posted for it. What is left at its default is left out, so the command
 * shown stays as short as one written by hand.
 *
 * @typedef {"default" | "fixed" | "search"} Mode
 * @typedef {{mode: Mode, value: string, low: string, high: string, log: boolean, powers: boolean, rangeTest: boolean,
 *   choices: unknown[], isList: boolean, list: string}} ParamDraft `list`: the values of a number of which only some are
 *   tried
 * @typedef {{metric: string, direction: string, target: string}} ObjectiveDraft
 * @typedef {{trainer: string, name: string, labels: string, params: Record<string, ParamDraft>, objectives:
 *   ObjectiveDraft[], sampler: {name: string, values: Record<string, string>}, pruner: {name: string,
 *   values: Record<string, string>}, budget: Record<string, string>, seeds: {rule: "fresh" | "shared" | "blocks", n:
 *   string}, confirm: {choice: "as usual" | "yes" | "no" | "a share", share: string}, together: {choice: "each alone" | "as measured" | "at most",
 *   n: string}, rest: object}} Draft `rest`: parts of a cloned specification the form has no field for
 */

import { readNumber, readScalar } from "./scalars.js";

/** @param {object} trainer a card of the catalogue @returns {Draft} */
export function emptyDraft(trainer) {
  const params = {};
  for (const [name, schema] of Object.entries(trainer.params_schema.properties)) {
    params[name] = paramDraft(schema, trainer.default_search_space[name]);
  }
  return {
    trainer: trainer.name,
    name: "",
    labels: "",
    params,
    objectives: trainer.default_objectives.map(objectiveDraft),
    sampler: { name: "tpe", values: {} },
    pruner: { name: "none", values: {} },
    budget: {},
    seeds: { rule: "fresh", n: "" },
    confirm: { choice: "as usual", share: "" },
    together: { choice: "each alone", n: "" },
    rest: {},
  };
}

/** @param {object} trainer @param {object} spec a job's @returns {Draft} */
export function draftOf(trainer, spec) {
  const draft = emptyDraft(trainer);
  const { name, labels, trainer: chosen, search_space: space, objectives, sampler, pruner, budget, seeds, confirm, resources, ...rest } = spec;
  for (const [param, schema] of Object.entries(trainer.params_schema.properties)) {
    draft.params[param] = paramDraft(schema, space?.[param]);
    // A recorded spec has every default written out: kept as fixed, they would stand in the way of another schedule.
    if (param in chosen.params && chosen.params[param] !== schema.default) Object.assign(draft.params[param], { mode: "fixed", value: String(chosen.params[param]) });
  }
  return {
    ...draft,
    name: name ? `${name} (copy)` : "",
    labels: Object.entries(labels).map(([key, value]) => `${key}:${value}`).join(", "),
    objectives: objectives.map(objectiveDraft),
    sampler: { name: sampler.name, values: texts(sampler, ["name", "seed"]) },
    pruner: { name: pruner.name, values: texts(pruner, ["name"]) },
    budget: texts(budget, []),
    seeds: seeds.blocks ? { rule: "blocks", n: String(seeds.blocks) } : { rule: seeds, n: "" },
    confirm: confirm?.share ? { choice: "a share", share: String(confirm.share) } : { choice: confirm ? "yes" : "no", share: "" },
    together: togetherOf(resources?.fuse ?? 1),
    rest: withoutDefaults({ ...rest, resources }),
  };
}

/** @param {Draft} draft @param {object} trainer @returns {object} the body to post */
export function specOf(draft, trainer) {
  const properties = trainer.params_schema.properties;
  const shown = Object.entries(draft.params).filter(([name]) => applies(properties[name], draft, properties));
  const fixed = shown.filter(([, param]) => param.mode === "fixed").map(([name, { value }]) => [name, readScalar(value)]);
  const searched = shown.filter(([, param]) => param.mode === "search").map(([name, param]) => [name, rangeOf(param, properties[name])]);
  return {
    ...present({ name: draft.name, labels: labelsOf(draft.labels) }),
    trainer: { name: draft.trainer, ...present({ params: Object.fromEntries(fixed) }) },
    search_space: Object.fromEntries(searched),
    objectives: draft.objectives.map(({ metric, direction, target }) => ({ metric, direction, ...present({ target: readNumber(target) }) })),
    sampler: { name: draft.sampler.name, ...scalars(draft.sampler.values) },
    ...(draft.pruner.name === "none" ? {} : { pruner: { name: draft.pruner.name, ...scalars(draft.pruner.values) } }),
    ...present({ budget: scalars(draft.budget) }),
    ...seedsOf(draft.seeds),
    ...confirmOf(draft.confirm),
    ...draft.rest,
    ...present({ resources: { ...draft.rest.resources, ...fuseOf(draft.together) } }),
  };
}

/** A metric's objective with its natural direction. @param {object} trainer @param {string} name @returns {ObjectiveDraft} */
export function objectiveOf(trainer, name) {
  const metric = trainer.metrics.find((one) => one.name === name);
  return { metric: name, direction: metric?.direction ?? "minimize", target: "" };
}

/** Tell whether a parameter can matter, given what the others can be. @param {object} schema @param {Draft} draft @param {object} properties */
export function applies(schema, draft, properties) {
  return Object.entries(schema["x-when"] ?? {}).every(([parent, values]) => {
    const possible = possibleValues(draft.params[parent], properties[parent]);
    return possible.some((value) => values.includes(value));
  });
}

function possibleValues(param, schema) {
  if (param.mode === "fixed") return [readScalar(param.value)];
  if (param.mode === "search") return param.choices;
  return [schema.default];
}

/** What kind of field a parameter needs. @returns {"choice" | "boolean" | "integer" | "number" | "string"} */
export function kindOf(schema) {
  if (schema.enum) return "choice";
  const type = schema.type ?? schema.anyOf?.find((one) => one.type !== "null")?.type;
  return ["boolean", "integer", "number"].includes(type) ? type : "string";
}

/** @param {object} schema */
export function choicesOf(schema) {
  return kindOf(schema) === "boolean" ? [false, true] : (schema.enum ?? []);
}

/** @returns {boolean} */
export function isSearchable(schema) {
  return schema["x-searchable"] !== false && kindOf(schema) !== "string";
}

function objectiveDraft({ metric, direction, target }) {
  return { metric, direction, target: text(target) };
}

function paramDraft(schema, range) {
  const isNumber = ["integer", "number"].includes(kindOf(schema));
  const [low, high] = [range?.low ?? schema.minimum ?? schema.exclusiveMinimum, range?.high ?? schema.maximum ?? schema.exclusiveMaximum];
  return {
    mode: range ? "search" : "default",
    value: text(schema.default),
    low: text(low),
    high: text(high),
    log: range?.log ?? false,
    powers: range?.powers_of_two ?? false,
    rangeTest: range?.range_test ?? false,
    choices: range?.choices ?? choicesOf(schema),
    isList: isNumber && range?.choices !== undefined,
    list: isNumber ? (range?.choices ?? []).join(", ") : "",
  };
}

function rangeOf(param, schema) {
  const kind = kindOf(schema);
  if (kind === "choice" || kind === "boolean") return { type: "categorical", choices: param.choices };
  if (param.isList) return { type: "categorical", choices: param.list.split(",").filter((one) => one.trim()).map(readScalar) };
  if (param.rangeTest) return { type: "float", range_test: true };
  const bounds = { low: readNumber(param.low), high: readNumber(param.high) };
  if (kind === "integer") return { type: "int", ...bounds, ...present({ powers_of_two: param.powers, log: param.log && !param.powers }) };
  return { type: "float", ...bounds, ...present({ log: param.log }) };
}

function seedsOf({ rule, n }) {
  if (rule === "fresh") return {};
  return { seeds: rule === "blocks" ? { blocks: readNumber(n) } : rule };
}

function confirmOf({ choice, share }) {
  if (choice === "as usual") return {};
  return { confirm: choice === "a share" ? { share: readNumber(share) } : choice === "yes" };
}

function togetherOf(fuse) {
  if (fuse === 1) return { choice: "each alone", n: "" };
  return fuse === "auto" ? { choice: "as measured", n: "" } : { choice: "at most", n: String(fuse) };
}

function fuseOf({ choice, n }) {
  if (choice === "each alone") return {};
  return { fuse: choice === "as measured" ? "auto" : readNumber(n) };
}

function labelsOf(line) {
  const pairs = line.split(",").map((one) => one.trim()).filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.split(":")[0].trim(), pair.split(":").slice(1).join(":").trim()]));
}

/** Parts of a specification that say something. */
function withoutDefaults({ priority, parameter_constraints: parameters, outcome_constraints: outcomes, replicates, warm_start: warm, engine, enqueue, resources, stop_when: stop, keep_artifacts: keep }) {
  return present({
    priority,
    parameter_constraints: parameters,
    outcome_constraints: outcomes,
    replicates,
    warm_start: warm,
    engine,
    enqueue,
    resources: present({ gpus: resources?.gpus, cpus: resources?.cpus > 1 && resources.cpus }),
    stop_when: stop?.no_improvement_trials || stop?.terminator ? stop : null,
    keep_artifacts: keep === "best" ? null : keep,
  });
}

/** Leave out what is empty: null, "", 0, false, {} and []. */
function present(fields) {
  const isEmpty = (value) => !value || (typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(fields).filter(([name, value]) => (name === "target" ? value !== null : !isEmpty(value))));
}

function scalars(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "");
  return Object.fromEntries(given.map(([name, value]) => [name, readScalar(value)]));
}

function texts(values, leftOut) {
  const entries = Object.entries(values).filter(([name, value]) => !leftOut.includes(name) && value !== null);
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}

function text(value) {
  return value === null || value === undefined ? "" : String(value);
}
