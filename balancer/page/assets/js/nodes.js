// A row a node, updated in place; on a phone the style sheet turns rows into cards.

import { byId, el, gauge, setAttr, setText } from "./dom.js";
import * as f from "./format.js";

const HOT = { cpu: 0.85, memory: 0.9 };
const WARM = { cpu: 0.7, memory: 0.75 };
const natural = new Intl.Collator("en", { numeric: true });

const COLUMNS = [
  { key: "id", label: "Node" },
  { key: "state", label: "State" },
  { key: "cpu", label: "CPU" },
  { key: "memory", label: "Memory" },
  { key: "connections", label: "Clients", text: (n) => f.count(n.connections) },
  { key: "messagesPerSecond", label: "Messages/s", text: (n) => f.rate(n.messagesPerSecond) },
  { key: "p95LatencyNanos", label: "p95", text: (n) => f.nanos(n.p95LatencyNanos) },
  { key: "inboxLagNanos", label: "Lag", text: (n) => f.nanos(n.inboxLagNanos) },
  { key: "weight", label: "Weight", text: (n) => f.decimal(n.weight) },
  { key: "shards", label: "Shards", text: (n) => (n.warming ? `${n.shards} +${n.warming}` : String(n.shards)) },
];

export class Nodes {
  constructor() {
    this.body = byId("nodes-body");
    this.rows = new Map();
    this.sort = { key: "id", down: false };
    this.heads = COLUMNS.map((column) => {
      const button = el("button", { type: "button" }, column.label);
      button.addEventListener("click", () => this.sortBy(column.key));
      return el("th", { role: "columnheader", scope: "col", "data-key": column.key }, button);
    });
    byId("nodes-head").replaceChildren(...this.heads);
    this.markSort();
  }

  sortBy(key) {
    // Names and states read best upwards, loads downwards.
    const first = !["id", "state"].includes(key);
    this.sort = { key, down: this.sort.key === key ? !this.sort.down : first };
    this.markSort();
    if (this.snapshot) this.render(this.snapshot);
  }

  markSort() {
    for (const head of this.heads) {
      const on = head.dataset.key === this.sort.key;
      setAttr(head, "aria-sort", on ? (this.sort.down ? "descending" : "ascending") : null);
    }
  }

  render(snapshot) {
    this.snapshot = snapshot;
    const wanted = this.ordered(snapshot.nodes).map((node) => this.row(node));
    const kept = new Set(snapshot.nodes.map((node) => node.id));
    for (const id of this.rows.keys()) if (!kept.has(id)) this.rows.delete(id);
    if (!wanted.length) wanted.push(this.noNodes());
    if (wanted.length !== this.body.children.length || wanted.some((row, i) => this.body.children[i] !== row)) {
      this.body.replaceChildren(...wanted);
    }
    setText(byId("nodes-count"), f.plural(snapshot.nodes.length, "node"));
    const moves = snapshot.moves ? `${f.plural(snapshot.moves, "shard")} moving` : "no shard moves";
    setText(byId("nodes-table"), snapshot.tableVersion ? `table v${snapshot.tableVersion} · ${moves}` : "no table yet");
  }

  ordered(nodes) {
    const { key, down } = this.sort;
    const compare = (a, b) =>
      typeof a[key] === "number" ? a[key] - b[key] : natural.compare(a[key], b[key]);
    return [...nodes].sort((a, b) => (down ? -1 : 1) * compare(a, b) || natural.compare(a.id, b.id));
  }

  row(node) {
    let row = this.rows.get(node.id);
    if (!row) {
      row = makeRow(node);
      this.rows.set(node.id, row);
    }
    updateRow(row, node);
    return row;
  }

  noNodes() {
    this.none ??= el("tr", { role: "row" },
      el("td", { role: "cell", className: "empty-row", colSpan: COLUMNS.length }, "No node sends heartbeats now."));
    return this.none;
  }
}

function makeRow(node) {
  const cells = COLUMNS.slice(4).map((column) =>
    el("td", { role: "cell", "data-label": column.label, "data-key": column.key }, el("span")));
  return el("tr", { role: "row" },
    el("th", { role: "rowheader", scope: "row", className: "name", title: node.id }, node.id),
    el("td", { role: "cell", className: "state" }, el("span", { className: "chip" })),
    loadCell("CPU", "cpu"), loadCell("Memory", "memory"), ...cells);
}

function loadCell(label, key) {
  const bar = el("span", { className: "gauge", "aria-hidden": "true" }, el("i"));
  return el("td", { role: "cell", "data-label": label, "data-key": key },
    el("span", { className: "load" }, bar, el("span", { className: "num" })));
}

function updateRow(row, node) {
  row.classList.toggle("row-stale", node.stale);
  showState(row.children[1], node);
  for (const [i, key] of [[2, "cpu"], [3, "memory"]]) {
    const [bar, figure] = row.children[i].firstElementChild.children;
    gauge(bar, node[key]);
    setAttr(bar, "data-level", node[key] > HOT[key] ? 3 : node[key] > WARM[key] ? 2 : 0);
    setText(figure, f.percent(node[key]));
  }
  COLUMNS.slice(4).forEach((column, i) => {
    const cell = row.children[i + 4];
    setText(cell.firstElementChild, column.text(node));
    cell.classList.toggle("zero", !node[column.key] && !node.warming);
  });
}

function showState(cell, node) {
  const chip = cell.firstElementChild;
  setAttr(chip, "data-state", node.stale ? "stale" : node.state);
  setText(chip, node.stale ? `stale ${f.span(node.ageNanos)}` : node.state);
  cell.classList.toggle("has-drain", Boolean(node.drain));
  let drain = chip.nextElementSibling;
  if (!node.drain) {
    drain?.remove();
    return;
  }
  if (!drain) {
    drain = el("span", { className: "drain" },
      el("span", { className: "gauge", role: "progressbar", "aria-label": "drained", "aria-valuemin": "0", "aria-valuemax": "100" }, el("i")),
      el("span"));
    cell.append(drain);
  }
  const done = node.drain.from ? 1 - node.connections / node.drain.from : 1;
  gauge(drain.firstElementChild, done);
  setAttr(drain.firstElementChild, "aria-valuenow", Math.round(Math.max(0, done) * 100));
  setText(drain.lastElementChild, `${f.count(node.connections)} left`);
}
