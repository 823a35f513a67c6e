// The bar, the tiles and the sentence that says why.

import { byId, gauge, setAttr, setHidden, setText } from "./dom.js";
import * as f from "./format.js";

const HOT_CPU = 0.7;
const HOT_MEMORY = 0.75;
const WORST_CPU = 0.85;
const WORST_MEMORY = 0.9;

export function showSummary(s) {
  showBar(s);
  showUrgency(s.decision);
  showReplicas(s);
  showTraffic(s);
  showUse(s.totals);
  showWhy(s);
  showShadow(s);
}

/** showShadow labels what is decided and what is asked for, which are two numbers in shadow mode. */
function showShadow(s) {
  const shadow = s.decision.mode === "shadow";
  setText(byId("desired-word"), shadow ? "would ask" : "desired");
  setText(byId("key-desired"), shadow ? "shadow would ask for" : "desired");
  setHidden(byId("key-asked"), !shadow);
  setHidden(byId("shadow"), !shadow);
  if (shadow) setText(byId("shadow"), `shadow mode, nothing is acted on: ${f.intent(s)}`);
}

function showBar(s) {
  setText(byId("leader"), s.leader || "none");
  setText(byId("clock"), f.clock(new Date(s.now)));
  setAttr(byId("clock"), "title", s.now);
  const words = [];
  if (s.decision.mode === "shadow") words.push("shadow");
  if (s.decision.policy === "table") words.push("table policy");
  if (f.decided(s.decision) && new Date(s.decision.expiresAt) <= new Date(s.now)) words.push("expired");
  setText(byId("mode"), words.join(" · "));
  setHidden(byId("mode"), words.length === 0);
  const wanted = s.decision.mode === "shadow" && s.asked ? s.asked : s.decision.desired;
  document.title = `${s.totals.serving} of ${wanted} ${f.urgency(s.decision.urgency)} · ${s.fleet} · Tidegate`;
}

function showUrgency(d) {
  setAttr(byId("tile-urgency"), "data-urgency", d.urgency);
  setText(byId("urgency"), f.urgency(d.urgency));
  setText(byId("reason"), d.reason === f.urgency(d.urgency) || !d.reason ? "no pressure" : d.reason);
}

function showReplicas({ decision, totals }) {
  setText(byId("desired"), f.decided(decision) ? f.count(decision.desired) : "–");
  setText(byId("serving"), f.count(totals.serving));
  const parts = [];
  if (totals.stale) parts.push(`${totals.stale} stale`);
  if (decision.inputs.stuck) parts.push(`${decision.inputs.stuck} stuck`);
  if (totals.starting) parts.push(`${totals.starting} starting`);
  if (totals.leaving) parts.push(`${totals.leaving} leaving`);
  if (totals.draining) parts.push(`${totals.draining} draining, ${f.count(totals.drainLeft)} left`);
  setText(byId("motion"), parts.join(" · ") || "settled");
}

function showTraffic({ decision, totals, point }) {
  const { working, inputs } = decision;
  setText(byId("clients"), f.count(totals.connections));
  const room = point.room ? `room ${f.count(point.room)}` : "room unknown";
  setText(byId("clients-sub"), `${f.signed(working.slope)}/s · ${room}`);
  setText(byId("messages"), f.rate(totals.messagesPerSecond));
  const per = totals.serving ? totals.messagesPerSecond / totals.serving : 0;
  const refused = inputs.refusedPerSecond ? `${f.rate(inputs.refusedPerSecond)} refused/s` : `${f.rate(per)} a node`;
  setText(byId("messages-sub"), refused);
  setText(byId("p95"), f.nanos(totals.p95LatencyNanos));
  setText(byId("p95-sub"), `worst ${f.nanos(totals.maxP95LatencyNanos)} · lag ${f.nanos(totals.inboxLagNanos)}`);
}

function showUse(t) {
  use("use-cpu", "cpu", t.cpu, t.maxCpu, t.cpu > HOT_CPU || t.maxCpu > WORST_CPU);
  use("use-memory", "memory", t.memory, t.maxMemory, t.memory > HOT_MEMORY || t.maxMemory > WORST_MEMORY);
}

function use(bar, figure, mean, worst, hot) {
  gauge(byId(bar), mean, worst);
  setAttr(byId(bar), "data-level", hot ? 3 : 0);
  setText(byId(figure), f.percent(mean));
  setText(byId(`${figure}-worst`), f.percent(worst));
}

function showWhy({ decision: d }) {
  setText(byId("note"), d.note || d.reason || "Nothing was decided yet: the balancer still gathers heartbeats.");
  setAttr(byId("why"), "data-hold", String(d.reason.startsWith("hold")));
  setText(byId("limit"), d.limitedBy ? `limited by ${f.limit(d.limitedBy)}` : "");
  setHidden(byId("limit"), !d.limitedBy);
}

export function showLive(state, seconds) {
  setAttr(byId("live"), "data-state", state);
  setText(byId("live").lastElementChild, state === "silent" ? `no data for ${seconds} s` : state);
}
