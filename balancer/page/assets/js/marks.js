// What is drawn on the fleet chart besides its lines: decisions, the urgency strip, and the hatch of starting nodes.

import { colour } from "./dom.js";

const STRIP = 3;
const MARK = 4.5;

/** drawMarkers sets a triangle on the desired line at each decision: up is out, down is in; its colour is the urgency. */
export function drawMarkers(u, store) {
  const { ctx } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.5 * ratio;
  ctx.strokeStyle = colour("--surface");
  for (const { from, decision } of store.changes) {
    const at = Date.parse(decision.at) / 1000;
    if (!from || at < u.scales.x.min || at > u.scales.x.max) continue;
    const up = decision.desired > from ? -1 : 1;
    const x = u.valToPos(at, "x", true);
    const y = u.valToPos(decision.desired, "y", true);
    const size = MARK * ratio;
    ctx.fillStyle = colour(`--u${decision.urgency}`);
    ctx.beginPath();
    ctx.moveTo(x, y + up * size * 1.15);
    ctx.lineTo(x + size, y - up * size * 0.75);
    ctx.lineTo(x - size, y - up * size * 0.75);
    ctx.closePath();
    ctx.stroke();
    ctx.fill();
  }
  ctx.restore();
}

/** drawUrgency paints a thin strip on the time axis wherever the fleet was not balanced. */
export function drawUrgency(u, store) {
  const { at, urgency } = store.columns;
  const { ctx, bbox } = u;
  const height = STRIP * devicePixelRatio;
  const top = bbox.top + bbox.height - height;
  ctx.save();
  let i = at.findIndex((t) => t >= u.scales.x.min);
  while (i >= 0 && i < at.length) {
    let end = i + 1;
    while (end < at.length && urgency[end] === urgency[i]) end++;
    if (urgency[i] > 0) {
      const left = u.valToPos(at[i], "x", true);
      const right = u.valToPos(at[Math.min(end, at.length - 1)], "x", true);
      ctx.fillStyle = colour(`--u${urgency[i]}`);
      ctx.fillRect(left, top, Math.max(right - left, devicePixelRatio), height);
    }
    i = end;
  }
  ctx.restore();
}

/** nearest is the decision that lies closest to the cursor, within so many pixels. */
export function nearest(u, store, pixels) {
  let best;
  let distance = pixels;
  for (const change of store.changes) {
    const away = Math.abs(u.valToPos(Date.parse(change.decision.at) / 1000, "x") - u.cursor.left);
    if (away <= distance) {
      best = change;
      distance = away;
    }
  }
  return best;
}

const TILE = 6;

/** hatch is a pattern of thin diagonal lines. */
export function hatch(u, ink) {
  const size = TILE * devicePixelRatio;
  const tile = new OffscreenCanvas(size, size);
  const ctx = tile.getContext("2d");
  ctx.strokeStyle = ink;
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = devicePixelRatio;
  for (const shift of [-size, 0, size]) {
    ctx.beginPath();
    ctx.moveTo(shift, size);
    ctx.lineTo(shift + size, 0);
    ctx.stroke();
  }
  return u.ctx.createPattern(tile, "repeat");
}
