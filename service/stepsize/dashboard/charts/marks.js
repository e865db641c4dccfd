/** Marks that charts paint: the shapes of trial states, lines, bands. */

/** @typedef {import("./plot.js").Canvas} Canvas */

const OUTLINES = {
  completed: (context, r) => context.arc(0, 0, r, 0, 7),
  running: (context, r) => context.arc(0, 0, r, 0, 7),
  pruned: (context, r) => polygon(context, [[0, -r * 1.2], [r * 1.1, r * 0.9], [-r * 1.1, r * 0.9]]),
  infeasible: (context, r) => polygon(context, [[0, -r * 1.3], [r * 1.3, 0], [0, r * 1.3], [-r * 1.3, 0]]),
};

/**
 * Paint a trial: a filled shape, or a cross for what failed.
 *
 * @param {Canvas} canvas
 * @param {number} x value
 * @param {number} y value
 * @param {{state: string, fill: string, radius?: number, alpha?: number, edge?: string}} style
 */
export function mark(canvas, x, y, { state, fill, radius = 3.4, alpha = 0.85, edge }) {
  const { context, ratio } = canvas;
  const r = radius * ratio;
  context.save();
  context.translate(canvas.x(x), canvas.y(y));
  context.globalAlpha = alpha;
  context.beginPath();
  const outline = OUTLINES[state];
  if (outline) {
    outline(context, r);
    context.fillStyle = fill;
    context.fill();
    if (edge) stroke(context, edge, 1 * ratio);
  } else {
    context.moveTo(-r, -r);
    context.lineTo(r, r);
    context.moveTo(r, -r);
    context.lineTo(-r, r);
    stroke(context, fill, 1.8 * ratio);
  }
  context.restore();
}

/**
 * @param {Canvas} canvas
 * @param {number[]} xs
 * @param {(number | null)[]} ys null: a gap
 * @param {{stroke: string, width?: number, alpha?: number, dash?: number[], stepped?: boolean}} style
 */
export function line(canvas, xs, ys, { stroke: ink, width = 2, alpha = 1, dash = [], stepped = false }) {
  const { context, ratio } = canvas;
  context.save();
  context.globalAlpha = alpha;
  context.setLineDash(dash.map((length) => length * ratio));
  context.lineJoin = "round";
  context.beginPath();
  let before = null;
  for (let index = 0; index < xs.length; index += 1) {
    const y = ys[index];
    if (y === null || !Number.isFinite(y)) {
      before = null;
      continue;
    }
    const [px, py] = [canvas.x(xs[index]), canvas.y(y)];
    if (before === null) context.moveTo(px, py);
    else if (stepped) (context.lineTo(px, before), context.lineTo(px, py));
    else context.lineTo(px, py);
    before = py;
  }
  stroke(context, ink, width * ratio);
  context.restore();
}

/** Fill between two heights, or two widths. @param {Canvas} canvas @param {{x?: [number, number], y?: [number, number]}} range @param {string} fill */
export function band(canvas, { x, y }, fill, alpha = 0.14) {
  const { context, box } = canvas;
  const [left, right] = x ? x.map(canvas.x) : [box.left, box.left + box.width];
  const [top, bottom] = y ? y.map(canvas.y) : [box.top, box.top + box.height];
  context.save();
  context.globalAlpha = alpha;
  context.fillStyle = fill;
  context.fillRect(left, top, right - left, bottom - top);
  context.restore();
}

/** A vertical interval. @param {Canvas} canvas @param {number} x @param {number} low @param {number} high @param {string} ink @param {number[]} dash */
export function whisker(canvas, x, low, high, ink, dash = []) {
  line(canvas, [x, x], [low, high], { stroke: ink, width: 2, alpha: 0.7, dash });
}

function stroke(context, ink, width) {
  context.strokeStyle = ink;
  context.lineWidth = width;
  context.stroke();
}

function polygon(context, corners) {
  corners.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}
