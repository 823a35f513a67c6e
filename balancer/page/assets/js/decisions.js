// The list of decisions, newest first; each opens to show what it was made from.

import { byId, el, setHidden, setText } from "./dom.js";
import * as f from "./format.js";

const FEW = 5;
const narrow = matchMedia("(max-width: 1159px)");

export class Decisions {
  constructor() {
    this.list = byId("decisions");
    this.more = byId("decisions-more");
    this.all = false;
    this.items = new Map();
    this.more.addEventListener("click", () => {
      this.all = true;
      this.render(this.changes, this.now);
    });
    narrow.addEventListener("change", () => this.changes && this.render(this.changes, this.now));
  }

  reset() {
    this.items.clear();
    this.list.replaceChildren();
    this.changes = undefined;
    this.all = false;
  }

  /** render shows the changes; those that are on the page already keep their element, and stay open. */
  render(changes, now) {
    this.changes = changes;
    this.now = now;
    const newestFirst = changes.toReversed();
    const few = narrow.matches && !this.all;
    const shown = few ? newestFirst.slice(0, FEW) : newestFirst;
    const items = new Map();
    for (const change of shown) {
      const key = `${change.decision.at} ${change.decision.sequence}`;
      items.set(key, this.items.get(key) ?? item(change, now));
    }
    this.items = items;
    const wanted = [...items.values()];
    if (wanted.length !== this.list.children.length || wanted.some((node, i) => this.list.children[i] !== node)) {
      this.list.replaceChildren(...wanted);
    }
    setText(byId("decisions-count"), changes.length ? `last ${changes.length}` : "none yet");
    setHidden(this.more, shown.length === changes.length);
    setText(this.more, `Show all ${changes.length}`);
  }
}

function item({ from, decision: d }, now) {
  const at = new Date(d.at);
  const words = from ? `from ${from} to ${d.desired}` : `${d.desired} desired`;
  const step = from
    ? el("span", { className: "step", "aria-label": words }, `${from} `, el("i", {}, "→"), ` ${d.desired}`)
    : el("span", { className: "step", "aria-label": words }, `${d.desired}`);
  const tag = el("span", { className: "tag" }, f.urgency(d.urgency));
  const line = el("span", { className: "decision-line" },
    el("time", { dateTime: d.at, title: d.at }, f.stamp(at, now)), step, tag,
    el("span", { className: "reason", title: d.reason }, d.reason));
  const note = el("p", { className: "decision-note" }, d.note);
  if (d.limitedBy) note.append(" ", el("span", { className: "decision-limit" }, `Limited by ${f.limit(d.limitedBy)}.`));
  const details = el("details", { className: "decision", "data-urgency": d.urgency }, el("summary", {}, line, note));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(inputs(d));
  });
  return el("li", {}, details);
}

function inputs(d) {
  const { inputs: i, working: w } = d;
  const known = (n) => (n ? f.count(n) : "unknown");
  const rows = [
    ["want", f.count(w.want)], ["margin", f.decimal(w.margin)],
    ["by clients", f.decimal(w.wantConnections, 1)], ["by messages", f.decimal(w.wantMessages, 1)],
    ["by CPU", f.decimal(w.wantCpu, 1)], ["by memory", f.decimal(w.wantMemory, 1)],
    ["demand", f.count(w.demand)], ["forecast", f.count(w.forecast)],
    ["slope", `${f.signed(w.slope)}/s`], ["lead time", f.span(w.leadNanos)],
    ["clients a pod", known(w.connectionsPerPod)], ["messages a pod", known(w.messagesPerPod)],
    ["CPU mean", f.percent(i.cpu)], ["CPU worst", f.percent(i.maxCpu)],
    ["memory mean", f.percent(i.memory)], ["memory worst", f.percent(i.maxMemory)],
    ["clients", f.count(i.connections)], ["messages/s", f.rate(i.messagesPerSecond)],
    ["p95", f.nanos(i.p95LatencyNanos)], ["inbox lag", f.nanos(i.inboxLagNanos)],
    ["serving", f.count(i.serving)], ["starting", f.count(i.starting)],
    ["leaving, draining", `${i.leaving}, ${i.draining}`], ["stale, stuck", `${i.stale}, ${i.stuck}`],
    ["policy", `${d.policy}, ${d.mode}`], ["sequence", f.count(d.sequence)],
  ];
  const list = el("dl", { className: "inputs" }, ...rows.map(([term, value]) => pair(term, value)));
  if (d.victims?.length) {
    const row = pair("leaving next", d.victims.join(", "));
    row.className = "wide";
    list.append(row);
  }
  return list;
}

const pair = (term, value) => el("div", {}, el("dt", {}, term), el("dd", {}, value));
