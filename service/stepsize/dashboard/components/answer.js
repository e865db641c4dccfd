/** A job's answer: which rate to use, how sure that is, and a small picture of the valley. It stands before the best trial. */

import { formatCount, formatRate, formatValue } from "../format.js";
import { html } from "../vendor/preact-htm.js";
import { Uncertain } from "./pieces.js";

const WORDS = { well_supported: "well supported", fairly_sure: "fairly sure", low: "a rough guess", none: "no answer" };
/** Share of the points, counted from the good end, within the picture's height: a cliff would flatten the rest. */
const SHOWN_SHARE = 0.85;
const WIDTH = 240;
const HEIGHT = 72;

/** The answer as the first card of a job. @param {{job: object}} props */
export function AnswerCard({ job }) {
  const { answer } = job;
  if (job.kind !== "tune") return null;
  if (!answer) {
    if (job.finished_at) return null; // of jobs from before there were answers, the report still tells it
    return html`<section class="card recommendation" aria-label="Answer"><p class="muted">The answer builds up here as trials end.</p></section>`;
  }
  const { metric } = job.spec.objectives[0];
  const isKnown = answer.learning_rate.value !== null;
  return html`<section class="card recommendation answer" aria-label="Answer" data-words=${answer.words}>
    <div class="answer-text">
      ${
        isKnown &&
        html`<p class="answer-rate">
          <span class="caption">Learning rate to use${answer.batch_size !== null && ` at batch size ${answer.batch_size}`}</span>
          <span class="big"><${Uncertain} of=${answer.learning_rate} rate /></span>
        </p>`
      }
      <p class="answer-sentence">${answer.sentence}</p>
      <div class="actions">
        <${Words} answer=${answer} />
        ${answer.confirmed?.value !== null && html`<span class="small">measured by fresh trainings: ${metric} <${Uncertain} of=${answer.confirmed} /></span>`}
        ${answer.confirmed?.value === null && answer.value?.value !== null && html`<span class="small">promised there, not checked: ${metric} <${Uncertain} of=${answer.value} /></span>`}
      </div>
      ${answer.caveats.map((caveat) => html`<p class="small muted">${caveat}</p>`)}
    </div>
    <${Valley} answer=${answer} objective=${job.spec.objectives[0]} />
  </section>`;
}

/** How sure an answer is. @param {{answer: object}} props */
function Words({ answer }) {
  return html`<span class="label sureness" data-words=${answer.words}>${WORDS[answer.words] ?? answer.words.replaceAll("_", " ")}</span>`;
}

/** The answer in a row of a list. @param {{answer: object | null}} props */
export function ShortAnswer({ answer }) {
  if (!answer) return html`<span class="muted">–</span>`;
  const { learning_rate: rate, batch_size: size, missing_trials: missing } = answer;
  if (rate.value === null) {
    return html`<span class="small muted">${missing ? `about ${formatCount(missing)} more trials` : "none"}</span>`;
  }
  return html`<div class="short-answer">
    <div><strong class="number">${rate.is_guess && "guess: "}${formatRate(rate.value)}</strong> ${rate.low !== null && html`<span class="interval">${formatRate(rate.low)} … ${formatRate(rate.high)}</span>`}</div>
    <div><${Words} answer=${answer} />${size !== null && html` <span class="small muted">at batch size ${size}</span>`}</div>
  </div>`;
}

/**
 * The objective over the learning rate: its mean, its interval as a band, the recommended rate, and the rate's interval.
 *
 * @param {{answer: object, objective: {metric: string, direction: string}}} props
 */
function Valley({ answer, objective }) {
  const points = answer.valley.filter(({ value }) => value.value !== null);
  const { value: rate, low, high } = answer.learning_rate;
  if (points.length < 3 || rate === null) return null;
  const [first, last] = [points[0].learning_rate, points.at(-1).learning_rate];
  const x = (at) => (WIDTH * (Math.log(at) - Math.log(first))) / (Math.log(last) - Math.log(first));
  const inside = (at) => Math.min(WIDTH, Math.max(0, x(at)));
  const [bottom, top] = shownRange(points, objective.direction);
  const y = (at) => Math.min(HEIGHT + 4, Math.max(-4, 4 + (HEIGHT - 8) * (1 - (at - bottom) / (top - bottom || 1))));
  const place = (at, value) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
  const path = (of) => points.map((point) => place(point.learning_rate, of(point.value))).join("L");
  const edge = (of) => points.map((point) => place(point.learning_rate, of(point.value)));
  const band = [...edge(({ low: one, value }) => one ?? value), ...edge(({ high: one, value }) => one ?? value).reverse()].join("L");
  const said = `${objective.metric} from ${formatRate(first)} to ${formatRate(last)}: best around ${formatRate(rate)}`;
  return html`<figure class="valley">
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="The valley: ${said}" preserveAspectRatio="none">
      ${low !== null && high !== null && html`<rect class="valley-interval" x=${inside(low)} y="0" width=${Math.max(1, inside(high) - inside(low))} height=${HEIGHT} />`}
      <path class="valley-band" d="M${band}Z" />
      <path class="valley-line" d="M${path(({ value }) => value)}" />
      <path class="valley-rate" d="M${inside(rate)} 0V${HEIGHT}" />
    </svg>
    <figcaption>
      <span class="number">${formatRate(first)}</span>
      <span>${objective.metric} ${formatValue(bottom)} … ${formatValue(top)} over the learning rate</span>
      <span class="number">${formatRate(last)}</span>
    </figcaption>
  </figure>`;
}

/** From where to where the picture reaches: all of the good end, and as far up the walls as most points. */
function shownRange(points, direction) {
  const values = points.map(({ value }) => value.value).sort((a, b) => (direction === "maximize" ? b - a : a - b));
  const far = values[Math.round(SHOWN_SHARE * (values.length - 1))];
  return [Math.min(values[0], far), Math.max(values[0], far)];
}
