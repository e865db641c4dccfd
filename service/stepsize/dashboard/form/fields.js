/** Fields of the job form, with their help and what is wrong with them. */

import { Prose, words } from "../format.js";
import { html } from "../vendor/preact-htm.js";
import { choicesOf, isSearchable, kindOf } from "./draft.js";

/** @typedef {{pointer: string, message: string}} FieldError */

/**
 * What is wrong at a place, or below it.
 *
 * @param {FieldError[]} errors
 * @param {string} pointer
 */
export function errorsAt(errors, pointer) {
  return errors.filter((wrong) => wrong.pointer === pointer || wrong.pointer.startsWith(`${pointer}/`)).map((wrong) => wrong.message);
}

/** @param {{id: string, label: string, help?: string, wrong?: string[], children: unknown}} props */
function Field({ id, label, help, wrong = [], children }) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children}
    ${help && html`<span class="help" id="${id}-help"><${Prose} text=${help} /></span>`}
    ${wrong.map((message) => html`<span class="wrong" role="alert">${message}</span>`)}
  </div>`;
}

/** @param {{id: string, label: string, value: string, help?: string, placeholder?: string, wrong?: string[], isNumber?: boolean, onInput: (value: string) => void}} props */
export function TextField({ id, label, value, help, placeholder = "", wrong = [], isNumber = false, onInput }) {
  return html`<${Field} id=${id} label=${label} help=${help} wrong=${wrong}>
    <input id=${id} value=${value} placeholder=${placeholder} inputmode=${isNumber ? "decimal" : null} autocomplete="off"
      aria-invalid=${wrong.length > 0} aria-describedby=${help ? `${id}-help` : null} onInput=${(event) => onInput(event.target.value)} />
  <//>`;
}

/** @param {{id: string, label: string, value: string, options: string[], help?: string, wrong?: string[], onChange: (value: string) => void}} props */
export function SelectField({ id, label, value, options, help, wrong = [], onChange }) {
  return html`<${Field} id=${id} label=${label} help=${help} wrong=${wrong}>
    <select id=${id} aria-invalid=${wrong.length > 0} onChange=${(event) => onChange(event.target.value)}>
      ${options.map((one) => html`<option value=${one} selected=${one === value}>${one}</option>`)}
    </select>
  <//>`;
}

/**
 * One parameter of a trainer: left alone, fixed, or searched.
 *
 * @param {{name: string, schema: object, param: import("./draft.js").ParamDraft, known: string[], hasRangeTest: boolean,
 *   wrong: string[], onChange: (changes: object) => void}} props `known`: values that its schema doesn't list
 */
export function ParamRow({ name, schema, param, known, hasRangeTest, wrong, onChange }) {
  return html`<div class="param-row" role="group" aria-labelledby="param-${name}">
    <div class="field">
      <span class="name" id="param-${name}">${name}</span>
      <span class="help"><${Prose} text=${schema.description ?? ""} /></span>
    </div>
    <${ModeSwitch} name=${name} schema=${schema} mode=${param.mode} onChange=${(mode) => onChange({ mode })} />
    ${param.mode === "fixed" && html`<div class="inputs"><${FixedInput} name=${name} schema=${schema} known=${known} value=${param.value} isWrong=${wrong.length > 0} onChange=${(value) => onChange({ value })} /></div>`}
    ${param.mode === "search" && html`<div class="inputs"><${RangeInputs} name=${name} schema=${schema} param=${param} hasRangeTest=${hasRangeTest} isWrong=${wrong.length > 0} onChange=${onChange} /></div>`}
    ${wrong.length > 0 && html`<div class="inputs field">${wrong.map((message) => html`<span class="wrong" role="alert">${message}</span>`)}</div>`}
  </div>`;
}

function ModeSwitch({ name, schema, mode, onChange }) {
  const modes = { default: `default ${schema.default ?? ""}`, fixed: "fixed", search: "searched" };
  return html`<fieldset class="segments" style=${{ border: 0, margin: 0 }}>
    <legend class="hidden-visually">How ${name} is chosen</legend>
    ${Object.entries(modes).map(
      ([value, label]) => html`<label>
        <input type="radio" name="mode-${name}" value=${value} checked=${mode === value} disabled=${value === "search" && !isSearchable(schema)} onChange=${() => onChange(value)} />${label}
      </label>`,
    )}
  </fieldset>`;
}

function FixedInput({ name, schema, known, value, isWrong, onChange }) {
  const choices = known.length > 0 ? [...new Set([...known, value])] : choicesOf(schema);
  if (choices.length > 0) {
    return html`<select aria-label=${name} onChange=${(event) => onChange(event.target.value)}>
      ${choices.map((choice) => html`<option value=${String(choice)} selected=${String(choice) === value}>${String(choice)}</option>`)}
    </select>`;
  }
  return html`<input aria-label=${name} aria-invalid=${isWrong} value=${value} inputmode=${kindOf(schema) === "string" ? null : "decimal"} onInput=${(event) => onChange(event.target.value)} />`;
}

function RangeInputs({ name, schema, param, hasRangeTest, isWrong, onChange }) {
  const kind = kindOf(schema);
  const listed = html`<${Check} label="only these values" isOn=${param.isList} onChange=${(isList) => onChange({ isList })} />`;
  if (kind === "choice" || kind === "boolean") return html`<${ChoiceBoxes} name=${name} all=${choicesOf(schema)} chosen=${param.choices} onChange=${(choices) => onChange({ choices })} />`;
  if (param.isList) {
    return html`<div class="field wide">
        <label for="list-${name}">values, separated by commas</label>
        <input id="list-${name}" aria-invalid=${isWrong} value=${param.list} placeholder=${kind === "integer" ? "16, 32, 64" : "1e-3, 1e-2, 1e-1"} onInput=${(event) => onChange({ list: event.target.value })} />
      </div>
      ${listed}`;
  }
  const bound = (side, label) => html`<div class="field">
    <label for="${side}-${name}">${label}</label>
    <input id="${side}-${name}" aria-invalid=${isWrong} value=${param[side]} disabled=${param.rangeTest} inputmode="decimal" onInput=${(event) => onChange({ [side]: event.target.value })} />
  </div>`;
  return html`
    ${bound("low", "from")} ${bound("high", "to")}
    ${kind === "integer" && html`<${Check} label="powers of two" isOn=${param.powers} onChange=${(powers) => onChange({ powers })} />`}
    ${!param.powers && html`<${Check} label="log scale" isOn=${param.log} onChange=${(log) => onChange({ log })} />`}
    ${hasRangeTest && name === "learning_rate" && html`<${Check} label="find by range test" isOn=${param.rangeTest} onChange=${(rangeTest) => onChange({ rangeTest })} />`}
    ${!param.rangeTest && listed}
  `;
}

function ChoiceBoxes({ name, all, chosen, onChange }) {
  const toggle = (choice) => onChange(all.filter((one) => (one === choice ? !chosen.includes(one) : chosen.includes(one))));
  return html`<div class="legend" role="group" aria-label="Choices of ${name}">
    ${all.map((choice) => html`<${Check} label=${String(choice)} isOn=${chosen.includes(choice)} onChange=${() => toggle(choice)} />`)}
  </div>`;
}

function Check({ label, isOn, onChange }) {
  return html`<label class="check"><input type="checkbox" checked=${isOn} onChange=${(event) => onChange(event.target.checked)} />${label}</label>`;
}

/**
 * A choice from the catalogue and the fields of its schema.
 *
 * @param {{id: string, label: string, entries: object[], chosen: {name: string, values: Record<string, string>},
 *   wrong: (pointer: string) => string[], onChange: (chosen: object) => void}} props
 */
export function CatalogueFields({ id, label, entries, chosen, wrong, onChange }) {
  const entry = entries.find((one) => one.name === chosen.name);
  const properties = Object.entries(entry?.params_schema.properties ?? {}).filter(([name]) => name !== "name");
  return html`<div class="stack">
    <${SelectField} id=${id} label=${label} value=${chosen.name} options=${entries.map((one) => one.name)} help=${entry?.help} onChange=${(name) => onChange({ name, values: {} })} />
    ${
      properties.length > 0 &&
      html`<div class="form-grid">
        ${properties.map(
          ([name, schema]) => html`<${SchemaField} id="${id}-${name}" label=${words(name)} schema=${schema} value=${chosen.values[name] ?? ""} wrong=${wrong(`/${id}/${name}`)}
            onChange=${(value) => onChange({ ...chosen, values: { ...chosen.values, [name]: value } })} />`,
        )}
      </div>`
    }
  </div>`;
}

/** A field as its schema wants it; left alone it is not sent. */
function SchemaField({ id, label, schema, value, wrong, onChange }) {
  const choices = choicesOf(schema).map(String);
  if (choices.length === 0) {
    return html`<${TextField} id=${id} label=${label} value=${value} help=${schema.description} placeholder=${String(schema.default ?? "")} isNumber=${true} wrong=${wrong} onInput=${onChange} />`;
  }
  return html`<${SelectField} id=${id} label=${label} value=${value || String(schema.default)} options=${choices} help=${schema.description} wrong=${wrong}
    onChange=${(choice) => onChange(choice === String(schema.default) ? "" : choice)} />`;
}
