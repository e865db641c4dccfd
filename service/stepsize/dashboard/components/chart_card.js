/** What cards with charts are made of. */

import { html } from "../vendor/preact-htm.js";
import { Loading, Unavailable } from "./feedback.js";

export const NOTHING_YET = "Nothing to draw yet: it begins with the first trial that ends.";

/**
 * A chart of something loaded, with the same height whatever there is to say.
 *
 * @param {{resource: import("../hooks.js").Resource<any>, what: string, height: number, isEmpty: (data: any) => boolean,
 *   children: (data: any) => unknown, why?: (data: any) => string}} props `why` it is empty
 */
export function Chart({ resource, what, height, isEmpty, children, why = () => NOTHING_YET }) {
  if (resource.error && !resource.data) return html`<${Unavailable} problem=${resource.error} />`;
  if (!resource.data) return html`<${Loading} what=${what} height=${height} />`;
  if (isEmpty(resource.data)) {
    return html`<div class="empty" style=${{ minHeight: `${height}px`, alignContent: "center" }}><p>${why(resource.data)}</p></div>`;
  }
  return children(resource.data);
}

/** A line as it is drawn, for legends. @param {{tone: string, dash?: string}} props `tone`: a custom property */
export function Stroke({ tone, dash = "none" }) {
  return html`<svg width="22" height="8" aria-hidden="true"><path d="M0 4h22" stroke="var(${tone})" stroke-width="2" stroke-dasharray=${dash} /></svg>`;
}

/** @param {{label: string, names: string[], value: string, onChange: (name: string) => void}} props */
export function Choice({ label, names, value, onChange }) {
  return html`<select class="tight" aria-label=${label} value=${value} onChange=${(event) => onChange(event.target.value)}>
    ${names.map((name) => html`<option value=${name} selected=${name === value}>${name}</option>`)}
  </select>`;
}
