// What each chart shows: its columns, its lines and the card beside its cursor.

import { colour, el } from "./dom.js";
import * as f from "./format.js";
import { axis } from "./chart.js";
import { drawMarkers, drawUrgency, hatch, nearest } from "./marks.js";
import { pairs } from "./tip.js";

const { uPlot } = window;
const AXIS_WIDTH = 46;
/** Decisions within this many pixels of the cursor are told beside it. */
const NEAR = 10;

const stepped = () => uPlot.paths.stepped({ align: 1 });
const ink = (name) => () => colour(name);
const noPoints = { points: { show: false } };
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const short = (_, splits) => splits.map((n) => (n === null ? "" : compact.format(n)));
const whole = (_, splits) => splits.map((n) => (Number.isInteger(n) ? String(n) : ""));

/** fromZero keeps an axis at zero and leaves a little air above the highest value. */
const fromZero = (least) => ({ range: (_, __, max) => [0, Math.max(least, (max ?? 0) * 1.12)] });

const when = (store, i) => el("time", {}, f.stamp(new Date(store.columns.at[i] * 1000), new Date(store.lastAt * 1000)));

export function fleetChart(store) {
  const c = () => store.columns;
  // What is asked for is a line of its own only where somebody else asks.
  const asked = () => (store.shadow ? nullZero(c().asked) : c().at.map(() => null));
  return {
    // Nodes on their way out and in are stacked on the serving ones, as bands.
    columns: () => [
      c().at, c().serving ?? [], sum(c().serving, c().away), sum(c().serving, c().away, c().starting), nullZero(c().desired), asked(),
    ],
    scales: { y: fromZero(4) },
    axes: [axis({ size: AXIS_WIDTH, space: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], values: whole })],
    series: [
      { stroke: ink("--tide"), fill: ink("--tide-fill"), width: 1.5, paths: stepped(), ...noPoints },
      { stroke: ink("--violet"), width: 0, paths: stepped(), ...noPoints },
      { stroke: ink("--tide"), width: 0, paths: stepped(), ...noPoints },
      { stroke: ink("--ink"), width: 1.5, paths: stepped(), ...noPoints },
      { stroke: ink("--soft"), width: 1.5, dash: [5, 4], paths: stepped(), ...noPoints },
    ],
    bands: [
      { series: [2, 1], fill: ink("--violet-fill") },
      { series: [3, 2], fill: (u) => hatch(u, colour("--tide")) },
    ],
    hooks: { draw: [(u) => drawUrgency(u, store), (u) => drawMarkers(u, store)] },
    tip: (i, plot) => fleetTip(store, i, plot),
  };
}

function fleetTip(store, i, plot) {
  const c = store.columns;
  const rows = [["serving", f.count(c.serving[i])], [store.shadow ? "shadow would ask for" : "desired", f.count(c.desired[i])]];
  if (store.shadow && c.asked?.[i]) rows.push(["asked for", f.count(c.asked[i])]);
  if (c.starting[i]) rows.push(["starting", f.count(c.starting[i])]);
  if (c.away[i]) rows.push(["leaving or draining", f.count(c.away[i])]);
  rows.push(["CPU", f.percent(c.cpu[i])], ["memory", f.percent(c.memory[i])], ["urgency", f.urgency(c.urgency[i])]);
  const nodes = [when(store, i), pairs(rows)];
  const change = nearest(plot, store, NEAR);
  if (change) nodes.push(decisionTip(change));
  return nodes;
}

function decisionTip({ from, decision: d }) {
  const step = from ? `${from} → ${d.desired}` : `${d.desired}`;
  return el("div", { className: "tip-decision", "data-urgency": d.urgency },
    el("p", {}, el("strong", {}, step), "  ", el("span", { className: "tag" }, f.urgency(d.urgency)), ` ${d.reason}`),
    el("p", { className: "tip-note" }, d.note));
}

export function clientsChart(store) {
  const c = () => store.columns;
  return {
    columns: () => [c().at, c().connections ?? [], c().forecast ?? [], nullZero(c().room)],
    scales: { y: fromZero(10) },
    axes: [axis({ size: AXIS_WIDTH, space: 32, values: short })],
    series: [
      { stroke: ink("--tide"), fill: ink("--tide-faint"), width: 1.5, ...noPoints },
      { stroke: ink("--tide"), width: 1, dash: [3, 3], ...noPoints },
      { stroke: ink("--ink"), width: 1.25, paths: stepped(), ...noPoints },
    ],
    tip: (i) => {
      const { connections, forecast, room } = store.columns;
      const rows = [["connected", f.count(connections[i])], ["forecast", f.count(forecast[i])]];
      rows.push(["room", room[i] ? f.count(room[i]) : "unknown"]);
      return [when(store, i), pairs(rows)];
    },
  };
}

export function trafficChart(store) {
  const c = () => store.columns;
  return {
    columns: () => [c().at, c().messagesPerSecond ?? [], c().p95Millis ?? []],
    scales: { y: fromZero(10), ms: fromZero(50) },
    axes: [
      axis({ size: AXIS_WIDTH, space: 32, values: short }),
      axis({ scale: "ms", side: 1, size: 34, space: 32, grid: { show: false }, values: short, stroke: ink("--violet") }),
    ],
    series: [
      { stroke: ink("--tide"), fill: ink("--tide-faint"), width: 1.5, ...noPoints },
      { scale: "ms", stroke: ink("--violet"), width: 1.25, ...noPoints },
    ],
    tip: (i) => {
      const { messagesPerSecond, p95Millis } = store.columns;
      return [when(store, i), pairs([["messages/s", f.rate(messagesPerSecond[i])], ["p95", f.millis(p95Millis[i])]])];
    },
  };
}

const sum = (first = [], ...more) => first.map((n, i) => more.reduce((total, column) => total + column[i], n));
const nullZero = (column = []) => column.map((n) => n || null);
