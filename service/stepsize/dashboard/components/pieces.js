/** Small pieces: copyable code, parameters, uncertain numbers, tabs, sortable headings, dialogs. */

import { formatParam, formatRate, formatShare, formatValue } from "../format.js";
import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";

/** @param {{text: string, label?: string}} props */
export function CopyButton({ text, label = "Copy" }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async () => {
    await writeClipboard(text);
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), 1500);
  };
  return html`<button type="button" class="button tight copy" onClick=${copy}>${isCopied ? "Copied" : label}</button>`;
}

/** `navigator.clipboard` needs https or localhost; a service in the office network is neither. @param {string} text */
export async function writeClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return undefined;
}

/** @param {{text: string, label: string}} props */
export function Code({ text, label }) {
  return html`<div class="code">
    <pre tabindex="0" aria-label=${label}><code>${text}</code></pre>
    <${CopyButton} text=${text} />
  </div>`;
}

/** @param {{params: Record<string, unknown>}} props */
export function Params({ params }) {
  return html`<span class="params">
    ${Object.entries(params).map(
      ([name, value]) => html`<span><span class="key">${name}</span> <span class="number">${formatParam(value, name)}</span></span>`,
    )}
  </span>`;
}

/**
 * A number with its 95 % interval, or why it can't be said. A guess (extrapolated, or from fewer than three trials) looks
 * different and says why in the open: what is only in a tooltip is hidden from fingers and paper.
 *
 * @param {{of: {value: number | null, low: number | null, high: number | null, caveat: string | null, is_guess?: boolean} | null,
 *   rate?: boolean, notes?: string[]}} props `notes`: reasons that stand below a table; a number refers to its own
 */
export function Uncertain({ of, rate = false, notes }) {
  const reason = of?.caveat ?? "";
  const why = reason && (notes ? html`<${NoteMark} at=${notes.indexOf(reason)} />` : html`<span class="why">${reason}</span>`);
  if (!of || of.value === null) return html`<span class="muted">–${why}</span>`;
  const format = rate ? formatRate : formatValue;
  const hasInterval = of.low !== null && of.high !== null && of.low !== of.high;
  return html`<span class=${of.is_guess ? "guess" : ""}>
    ${of.is_guess && html`<span class="guess-word">guess</span> `}<span class="guessed">${format(of.value)}</span> <span class="interval">${hasInterval && `${format(of.low)} … ${format(of.high)}`}</span>${why}
  </span>`;
}

function NoteMark({ at }) {
  return at < 0 ? null : html`<sup>${at + 1}</sup>`;
}

/** The reasons behind the numbers of a table, each once. @param {({caveat?: string | null} | null | undefined)[]} estimates */
export function reasonsOf(estimates) {
  return [...new Set(estimates.map((one) => one?.caveat).filter(Boolean))];
}

/** Reasons below a table, numbered as its numbers refer to them. @param {{notes: string[]}} props */
export function Notes({ notes }) {
  if (notes.length === 0) return null;
  return html`<ol class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ol>`;
}

/**
 * A table that scrolls by itself, and its notes: names first, then numbers.
 *
 * @param {{label: string, headings: string[], texts?: string[], notes: string[], children: unknown}} props `texts`: headings of
 *   further columns that hold no numbers
 */
export function Table({ label, headings, texts = [], notes, children }) {
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead><tr>${headings.map((heading, index) => html`<th scope="col" class=${index && !texts.includes(heading) ? "number" : ""}>${heading}</th>`)}</tr></thead>
      <tbody>${children}</tbody>
    </table>
    <${Notes} notes=${notes} />
  </div>`;
}

/** A share with its 95 % interval, as percentages. @param {{of: {value: number | null, low: number | null, high: number | null}}} props */
export function Share({ of }) {
  if (!of || of.value === null) return html`<span class="muted">–</span>`;
  const hasInterval = of.low !== null && of.high !== null && of.low !== of.high;
  return html`<span class="guessed">${formatShare(of.value)}</span> <span class="interval">${hasInterval && `${formatShare(of.low)} … ${formatShare(of.high)}`}</span>`;
}

/** @param {{label: string, tabs: {name: string, href: string, isCurrent: boolean}[]}} props */
export function Tabs({ label, tabs }) {
  return html`<nav class="tabs" aria-label=${label}>
    ${tabs.map((tab) => html`<a href=${tab.href} aria-current=${tab.isCurrent ? "page" : null}>${tab.name}</a>`)}
  </nav>`;
}

/**
 * A heading that sorts: first downwards or upwards, then the other way.
 *
 * @param {{field: string, sort: string, onSort: (sort: string) => void, number?: boolean, children: unknown}} props
 */
export function SortHeading({ field, sort, onSort, number = false, children }) {
  const isUp = sort === field;
  const isDown = sort === `-${field}`;
  const order = isUp ? "ascending" : isDown ? "descending" : null;
  return html`<th scope="col" class=${number ? "number" : ""} aria-sort=${order}>
    <button type="button" onClick=${() => onSort(isUp ? `-${field}` : field)}>
      ${children}<span aria-hidden="true">${isUp ? " ↑" : isDown ? " ↓" : ""}</span>
    </button>
  </th>`;
}

/** Where one is in a list of several pages. @param {{pages: object, children?: unknown}} props `pages`: of `usePages` */
export function Pager({ pages, children }) {
  if (!pages.previous && !pages.next) return null;
  return html`<div class="pager">
    <span class="muted">Page ${pages.number}${children}</span>
    <div class="actions">
      <button class="button tight" disabled=${!pages.previous} onClick=${() => pages.previous()}>Previous</button>
      <button class="button tight" disabled=${!pages.next} onClick=${() => pages.next()}>Next</button>
    </div>
  </div>`;
}

/**
 * A button that opens a few links. Escape, a click elsewhere and leaving it by keyboard close it.
 *
 * @param {{label: string, children: unknown}} props
 */
export function Menu({ label, children }) {
  const [isOpen, setIsOpen] = useState(false);
  const root = useRef(null);
  const closeIfOutside = (element) => element && !root.current.contains(element) && setIsOpen(false);
  const onKeyDown = (event) => {
    if (event.key !== "Escape" || !isOpen) return;
    setIsOpen(false);
    root.current.querySelector("button").focus();
  };
  useEffect(() => {
    if (!isOpen) return undefined;
    const onPointerDown = (event) => closeIfOutside(event.target);
    addEventListener("pointerdown", onPointerDown);
    return () => removeEventListener("pointerdown", onPointerDown);
  }, [isOpen]);
  return html`<div class="menu" ref=${root} onKeyDown=${onKeyDown} onfocusout=${(event) => closeIfOutside(event.relatedTarget)}>
    <button type="button" class="button" aria-expanded=${isOpen} onClick=${() => setIsOpen(!isOpen)}>
      ${label}<svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true"><path d="M1.5 3.5 5 7l3.5-3.5" fill="none" stroke="currentColor" stroke-width="1.6" /></svg>
    </button>
    ${isOpen && html`<div class="menu-panel" role="group" aria-label=${label}>${children}</div>`}
  </div>`;
}

/** A modal dialog; Escape closes it and focus goes back. @param {{title: string, onClose: () => void, children: unknown}} props */
export function Dialog({ title, onClose, children }) {
  const element = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    const opener = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      opener?.focus?.();
    };
  }, []);
  return html`<dialog ref=${element} aria-label=${title} onCancel=${(event) => (event.preventDefault(), onClose())}>
    <div class="content"><h2>${title}</h2>${children}</div>
  </dialog>`;
}

/**
 * A question before what can't be undone.
 *
 * @param {{title: string, verb: string, back: string, isBusy?: boolean, onConfirm: () => void, onClose: () => void,
 *   children: unknown}} props
 */
export function Confirm({ title, verb, back, isBusy = false, onConfirm, onClose, children }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div class="muted">${children}</div>
    <div class="actions end">
      <button class="button" onClick=${onClose}>${back}</button>
      <button class="button danger" disabled=${isBusy} onClick=${onConfirm}>${verb}</button>
    </div>
  <//>`;
}
