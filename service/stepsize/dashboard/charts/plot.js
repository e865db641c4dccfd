/**
 * Axes to paint on. uPlot does the scales, ticks, zoom and cursor; each chart paints its own marks, and says what lies
 * under the cursor.
 *
 * @typedef {{min: number, max: number, log?: 2 | 10, label: string, isWhole?: boolean, ticks?: string[],
 *   format?: (value: number) => string}} Axis `ticks`: names of the whole numbers from 0, for categories
 * @typedef {{context: CanvasRenderingContext2D, x: (value: number) => number, y: (value: number) => number,
 *   box: {left: number, top: number, width: number, height: number}, ratio: number}} Canvas pixels of the canvas
 * @typedef {{x: number, y: number, tip: unknown, href?: string}} Spot something that can be pointed at
 */

import { formatNumber, formatRate } from "../format.js";
import { go } from "../router.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { color } from "./colors.js";

const REACH_PX = 24;
const WHOLE_INCREMENTS = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));

/**
 * @param {{x: Axis, y: Axis, paint: (canvas: Canvas) => void, spots: Spot[], label: string, height?: number}} props
 *   `label` says in words what is seen
 */
export function Plot({ x, y, paint, spots, label, height = 260 }) {
  const host = useRef(null);
  const plot = useRef(null);
  const shown = useRef(null);
  const isZoomed = useRef(false);
  const [tip, setTip] = useState(null);
  shown.current = { x, y, paint, spots };
  const kind = [x.log, y.log, x.label, y.label, x.ticks?.join(), height].join("|");

  useLayoutEffect(() => {
    const element = host.current;
    const made = makePlot(element, { shown, isZoomed, setTip, height });
    plot.current = made;
    const resizing = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resizing.observe(element);
    const redraw = () => made.redraw(false, true);
    addEventListener("themechange", redraw);
    return () => {
      resizing.disconnect();
      removeEventListener("themechange", redraw);
      made.destroy();
    };
  }, [kind]);

  useEffect(() => {
    if (isZoomed.current) plot.current.redraw();
    else plot.current.setData(frame(x, y));
  }, [x, y, paint, spots]);

  return html`<div class="chart" style=${{ "--height": `${height}px` }}>
    <div ref=${host} role="img" aria-label=${label} onMouseLeave=${() => setTip(null)} />
    ${tip && html`<div class="chart-tip" style=${tip.place}>${tip.content}</div>`}
  </div>`;
}

/** uPlot's data: the corners of what is to be seen; the marks are painted, not drawn from series. */
function frame(x, y) {
  return [
    [x.min, x.max],
    [y.min, y.max],
  ];
}

function makePlot(element, { shown, isZoomed, setTip, height }) {
  const { x, y } = shown.current;
  const options = {
    width: element.clientWidth || 600,
    height,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: true, uni: 30 } },
    scales: { x: scale(x, () => shown.current.x), y: scale(y, () => shown.current.y) },
    axes: [axis(x, () => shown.current.x, { size: 26 }), axis(y, () => shown.current.y, { size: 50 })],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: {
      draw: [(u) => paintInside(u, shown.current.paint)],
      setCursor: [(u) => setTip(tipAt(u, shown.current.spots))],
      setSelect: [(u) => (isZoomed.current ||= u.select.width > 0)],
      ready: [
        (u) => {
          u.over.addEventListener("dblclick", () => (isZoomed.current = false));
          u.over.addEventListener("click", () => follow(u, shown.current.spots));
        },
      ],
    },
  };
  return new window.uPlot(options, frame(x, y), element);
}

function scale({ log }, current) {
  const range = (u, min, max) => {
    const { min: low, max: high } = current();
    return min === max || min === null ? [low, high] : [min, max];
  };
  return log ? { time: false, distr: 3, log, range } : { time: false, range };
}

function axis({ log, label, isWhole, ticks }, current, { size }) {
  const format = (value) => (current().format ?? (log === 10 ? formatRate : formatNumber))(value);
  const made = {
    label,
    size,
    labelSize: 20,
    labelGap: 2,
    labelFont: "500 11px Inter, system-ui, sans-serif",
    font: "11px Inter, system-ui, sans-serif",
    gap: 5,
    stroke: () => color("muted"),
    grid: { stroke: () => color("grid-line"), width: 1 },
    ticks: { show: false },
    values: (u, splits) => splits.map((value) => (value === null ? "" : format(value))),
  };
  if (isWhole) made.incrs = WHOLE_INCREMENTS;
  if (log) made.splits = (u, index, min, max) => logTicks(min, max, log);
  if (ticks) {
    made.splits = () => ticks.map((_, index) => index);
    made.values = (u, splits) => splits.map((index) => ticks[index]);
  }
  return made;
}

/** Powers of the base; of ten also 2 and 5 where there are few. @param {number} min @param {number} max @param {number} base */
function logTicks(min, max, base) {
  const logOf = base === 2 ? Math.log2 : Math.log10;
  const [first, last] = [Math.floor(logOf(min)), Math.ceil(logOf(max))];
  const mantissas = base === 10 && last - first <= 2 ? [1, 2, 5] : [1];
  const stride = Math.ceil((last - first) / 9);
  const ticks = [];
  for (let exponent = first; exponent <= last; exponent += stride) {
    for (const mantissa of mantissas) ticks.push(Number((mantissa * base ** exponent).toPrecision(12)));
  }
  return ticks.filter((tick) => tick >= min * 0.999 && tick <= max * 1.001);
}

function paintInside(u, paint) {
  const context = u.ctx;
  const { left, top, width, height } = u.bbox;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  paint({
    context,
    x: (value) => u.valToPos(value, "x", true),
    y: (value) => u.valToPos(value, "y", true),
    box: u.bbox,
    ratio: devicePixelRatio,
  });
  context.restore();
}

function tipAt(u, spots) {
  const spot = nearest(u, spots);
  if (!spot) return null;
  const left = u.valToPos(spot.x, "x") + u.over.offsetLeft;
  const isRight = left > u.width / 2;
  const place = { top: `${Math.max(0, u.valToPos(spot.y, "y") + u.over.offsetTop - 10)}px` };
  place[isRight ? "right" : "left"] = `${isRight ? u.width - left + 14 : left + 14}px`;
  return { content: spot.tip, place };
}

function follow(u, spots) {
  const spot = nearest(u, spots);
  if (spot?.href) go(spot.href);
}

function nearest(u, spots) {
  const { left, top } = u.cursor;
  if (left === null || left === undefined || left < 0) return null;
  let found = null;
  let least = REACH_PX ** 2;
  for (const spot of spots) {
    const distance = (u.valToPos(spot.x, "x") - left) ** 2 + (u.valToPos(spot.y, "y") - top) ** 2;
    if (distance < least) [found, least] = [spot, distance];
  }
  return found;
}

/**
 * The bounds of some numbers with air around them; logarithmic where they span more than two powers of ten. With
 * `clip` a few far out don't squeeze the others: they lie beyond the bounds (see `clamp`).
 *
 * @param {number[]} values
 * @param {{log?: 2 | 10 | "auto" | "never", label: string, isWhole?: boolean, clip?: "low" | "high", format?: (value: number) => string}} options
 * @returns {Axis}
 */
export function axisOver(values, { log = "auto", clip, ...rest }) {
  const finite = clipped(values.filter((value) => Number.isFinite(value)), log, clip);
  let min = finite.reduce((a, b) => Math.min(a, b), Infinity);
  let max = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  if (min > max) [min, max] = [0, 1];
  const chosen = log === "never" ? undefined : log === "auto" ? (min > 0 && max / min > 100 ? 10 : undefined) : min > 0 ? log : undefined;
  if (chosen) {
    // Powers of two are spread a little, not to hide each other: they need more air.
    const air = Math.max((max / min) ** 0.05, chosen === 2 ? 1.4 : 1.15);
    return { min: min / air, max: max * air, log: chosen, ...rest };
  }
  // Counts have no room below their first: an axis of trials doesn't begin at −5.
  const air = rest.isWhole ? Math.max(0.3, (max - min) * 0.02) : (max - min) * 0.06 || Math.abs(max) * 0.1 || 1;
  return { min: min - air, max: max + air, ...rest };
}

/** Move a value that lies beyond the bounds to just inside them. @param {Axis} axis @param {number} value */
export function clamp(axis, value) {
  const inset = axis.log ? (axis.max / axis.min) ** 0.02 : (axis.max - axis.min) * 0.02;
  const [low, high] = axis.log ? [axis.min * inset, axis.max / inset] : [axis.min + inset, axis.max - inset];
  return Math.min(high, Math.max(low, value));
}

const FAR = 4;

/** Drop the far ones of one side, where a logarithm can't hold them: beyond four times what nine of ten span. */
function clipped(finite, log, clip) {
  if (!clip || finite.length < 10 || (log === "auto" && finite.every((value) => value > 0))) return finite;
  const sorted = [...finite].sort((a, b) => (clip === "high" ? a - b : b - a));
  const reach = Math.abs(sorted[Math.floor(sorted.length * 0.9)] - sorted[0]);
  if (Math.abs(sorted.at(-1) - sorted[0]) < FAR * reach) return finite;
  return sorted.slice(0, Math.ceil(sorted.length * 0.9));
}
