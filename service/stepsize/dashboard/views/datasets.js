/** Data sets: those there are, and a place to drop one's own. */

import { Problem, remove, upload, withQuery } from "../api.js";
import { Empty, Loading, ProblemNote, say } from "../components/feedback.js";
import { Confirm } from "../components/pieces.js";
import { formatBytes, formatCount, Prose } from "../format.js";
import { useResource, useTitle } from "../hooks.js";
import { href } from "../router.js";
import { html, useRef, useState } from "../vendor/preact-htm.js";

/** Format of a file by the end of its name. */
const FORMATS = { npz: "npz", csv: "csv", parquet: "parquet", zip: "images" };
const ACCEPTED = Object.keys(FORMATS).map((suffix) => `.${suffix}`).join(",");
const HAS_COLUMNS = ["csv", "parquet"];

export function DatasetsView() {
  useTitle("Data sets");
  const datasets = useResource("/datasets");
  const [asked, setAsked] = useState(null);
  const items = datasets.data?.items ?? [];
  return html`<div class="page">
    <div class="page-head"><h1>Data sets</h1></div>
    <p class="muted">What <code>image_classifier</code> and <code>tabular_classifier</code> learn from. All trials of a job see the same split into training, validation and test data.</p>
    <${UploadCard} onDone=${datasets.reload} />
    ${datasets.error && html`<${ProblemNote} problem=${datasets.error} onRetry=${datasets.reload} />`}
    <section class="card" aria-label="Data sets">
      ${datasets.isLoading && html`<div class="body"><${Loading} what="data sets" height=${220} /></div>`}
      ${items.length > 0 && html`<${DatasetTable} items=${items} onDelete=${setAsked} />`}
      ${datasets.data && items.length === 0 && html`<${Empty} title="No data set yet"><p>Drop one above.</p><//>`}
    </section>
    ${asked && html`<${DeleteDialog} name=${asked} onClose=${() => setAsked(null)} onDone=${datasets.reload} />`}
  </div>`;
}

/** Choose or drop a file, say what it is called, send it and see it arrive. */
function UploadCard({ onDone }) {
  const [draft, setDraft] = useState(null);
  const [sending, setSending] = useState(null);
  const [problem, setProblem] = useState(null);
  const [isOver, setIsOver] = useState(false);

  const choose = (file) => {
    if (!file || sending) return;
    setProblem(null);
    setDraft(draftOf(file));
  };
  const onDrop = (event) => {
    event.preventDefault();
    setIsOver(false);
    choose(event.dataTransfer.files[0]);
  };
  const send = async (event) => {
    event.preventDefault();
    const { file, ...query } = draft;
    const stopper = new AbortController();
    setProblem(null);
    setSending({ stopper, share: 0 });
    try {
      const onProgress = (share) => setSending({ stopper, share });
      const card = await upload(withQuery("/datasets", query), file, { onProgress, signal: stopper.signal });
      say(`Data set ${card.name} is there.`);
      setDraft(null);
      onDone();
    } catch (error) {
      if (error instanceof Problem) setProblem(error);
      else if (error.name !== "AbortError") throw error;
    }
    setSending(null);
  };

  return html`<section class="card" aria-label="Upload">
    <header><h2>Add your own</h2><span class="note">.npz with x and y, .csv, .parquet, or a .zip of one folder of images a class</span></header>
    <div class="body stack">
      <div class="drop ${isOver ? "over" : ""}" onDragOver=${(event) => (event.preventDefault(), setIsOver(true))} onDragLeave=${() => setIsOver(false)} onDrop=${onDrop}>
        <${FilePicker} name=${draft?.file.name} onChoose=${choose} />
      </div>
      ${draft && html`<${DraftForm} draft=${draft} onChange=${(changes) => setDraft({ ...draft, ...changes })} onSend=${send} sending=${sending} />`}
      ${problem && html`<${ProblemNote} problem=${problem} />`}
    </div>
  </section>`;
}

function FilePicker({ name, onChoose }) {
  const input = useRef(null);
  return html`
    <input ref=${input} id="dataset-file" class="hidden-visually" type="file" accept=${ACCEPTED} aria-label="Choose a file" tabindex="-1"
      onChange=${(event) => (onChoose(event.target.files[0]), (event.target.value = ""))} />
    <button type="button" class="button" onClick=${() => input.current.click()}>${name ? "Choose another file" : "Choose a file"}</button>
    <span class="muted small">${name ?? "or drop it here"}</span>`;
}

function DraftForm({ draft, onChange, onSend, sending }) {
  const field = (key, label, { placeholder = "", help = "" } = {}) => html`<div class="field">
    <label for="dataset-${key}">${label}</label>
    <input id="dataset-${key}" value=${draft[key]} placeholder=${placeholder} autocomplete="off" onInput=${(event) => onChange({ [key]: event.target.value })} />
    ${help && html`<span class="help">${help}</span>`}
  </div>`;
  return html`<form class="stack" onSubmit=${onSend}>
    <div class="form-grid">
      ${field("name", "Name", { help: "What jobs call it: a-z, 0-9, - and _" })}
      <div class="field">
        <label for="dataset-format">Format</label>
        <select id="dataset-format" value=${draft.format} onChange=${(event) => onChange({ format: event.target.value })}>
          ${Object.values(FORMATS).map((format) => html`<option value=${format} selected=${format === draft.format}>${format}</option>`)}
        </select>
      </div>
      ${HAS_COLUMNS.includes(draft.format) && field("target", "Column to predict", { placeholder: "target, label, or the last" })}
      ${field("help", "Description", { placeholder: "optional" })}
    </div>
    <div class="actions">
      <button class="button primary" disabled=${Boolean(sending) || !draft.name}>${sending ? "Uploading …" : `Upload ${formatBytes(draft.file.size)}`}</button>
      ${sending && html`<${Sending} ...${sending} />`}
    </div>
  </form>`;
}

function Sending({ share, stopper }) {
  const percent = Math.round(share * 100);
  return html`
    <span class="bar upload" role="progressbar" aria-label="Upload" aria-valuenow=${percent} aria-valuemin="0" aria-valuemax="100"><span data-state="running" style=${{ "--share": `${percent}%` }} /></span>
    <span class="small muted">${share < 1 ? `${percent} %` : "checking it …"}</span>
    <button type="button" class="button tight" onClick=${() => stopper.abort()}>Cancel</button>`;
}

/** What a file is called and how to read it, by its name. @param {File} file */
function draftOf(file) {
  const [, stem, suffix] = /^(.*?)(?:\.([^.]*))?$/.exec(file.name);
  const name = stem.toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^[-_]+|-+$/g, "").slice(0, 64);
  return { file, name, format: FORMATS[(suffix ?? "").toLowerCase()] ?? "csv", target: "", help: "" };
}

function DatasetTable({ items, onDelete }) {
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Table of data sets">
    <table class="datasets">
      <thead>
        <tr>
          <th scope="col">Name</th><th scope="col">Kind</th><th scope="col" class="number">Samples</th><th scope="col">A sample</th>
          <th scope="col" class="number">Classes</th><th scope="col">Training / validation / test</th><th scope="col" class="number">Size</th>
          <th scope="col"><span class="hidden-visually">Actions</span></th>
        </tr>
      </thead>
      <tbody>${items.map((card) => html`<${DatasetRow} key=${card.name} card=${card} onDelete=${onDelete} />`)}</tbody>
    </table>
  </div>`;
}

function DatasetRow({ card, onDelete }) {
  const { split } = card;
  return html`<tr>
    <td>
      <div class="dataset-name">
        <strong>${card.name}</strong>
        ${card.help && html`<span class="small muted"><${Prose} text=${card.help} /></span>`}
        ${card.problem && html`<span class="wrong">${card.problem}</span>`}
      </div>
    </td>
    <td>${card.kind ?? "–"} <span class="small muted">${card.format.replaceAll("_", " ")}</span></td>
    <td class="number">${count(card.n)}</td>
    <td>${sampleOf(card)}</td>
    <td class="number">${card.target_kind === "number" ? "a number" : count(card.n_classes)}</td>
    <td>${split ? [split.train, split.validation, split.test].map(count).join(" / ") : "–"}</td>
    <td class="number">${card.size_bytes === null ? "–" : formatBytes(card.size_bytes)}</td>
    <td>
      <div class="actions end">
        ${!card.problem && card.kind && html`<a class="button tight" href=${href(["new"], { dataset: card.name })} aria-label="New job on ${card.name}">New job</a>`}
        ${card.format !== "built_in" && html`<button class="button tight danger" aria-label="Delete ${card.name}" onClick=${() => onDelete(card.name)}>Delete</button>`}
      </div>
    </td>
  </tr>`;
}

function count(value) {
  return value === null ? "–" : formatCount(value);
}

/** Images as width × height, rows as features. */
function sampleOf({ kind, shape }) {
  if (kind === "texts") return "words";
  if (kind === "characters") return "characters";
  if (!shape) return "–";
  if (kind !== "image") return `${formatCount(shape[0])} features`;
  const [channels, height, width] = shape;
  return `${width} × ${height}${channels === 1 ? ", grey" : `, ${channels} channels`}`;
}

function DeleteDialog({ name, onClose, onDone }) {
  const [problem, setProblem] = useState(null);
  const confirm = async () => {
    try {
      await remove(`/datasets/${name}`);
      say(`Data set ${name} is deleted.`);
      onClose();
      onDone();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  };
  return html`<${Confirm} title="Delete ${name}?" verb="Delete for ever" back="Keep it" onConfirm=${confirm} onClose=${onClose}>
    Jobs that still want it fail. Results they have are kept.
    ${problem && html`<${ProblemNote} problem=${problem} />`}
  <//>`;
}
