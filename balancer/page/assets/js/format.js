// Numbers, times and rules in words. Everything here is pure.

const NANOS_PER_MILLI = 1e6;
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const URGENCIES = ["balanced", "moderate", "high", "critical"];

const LIMITS = {
  minReplicas: "the minimum of replicas",
  maxReplicas: "the maximum of replicas",
  starting: "a node that still starts",
  stale: "missing heartbeats",
  disruptionBudget: "the disruption budget",
  scaleInDelay: "the scale-in delay",
  scaleInStep: "one scale-in step at a time",
  headroom: "the room of the nodes that stay",
  tableStep: "the wait between table steps",
};

export const count = (n) => grouped.format(n);

/** rate writes a small rate with one digit and a large one whole. */
export const rate = (n) => (n > 0 && n < 9.95 ? n.toFixed(1) : grouped.format(n));

export const percent = (fraction) => `${Math.round(fraction * 100)}%`;

export const decimal = (n, digits = 2) => n.toFixed(digits);

export function millis(ms) {
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms > 0 && ms < 9.95) return `${ms.toFixed(1)} ms`;
  return `${Math.round(ms)} ms`;
}

export const nanos = (n) => millis(n / NANOS_PER_MILLI);

/** span writes a longer duration, such as a lead time. */
export function span(n) {
  const s = n / NANOS_PER_MILLI / 1000;
  if (s < 120) return `${Math.round(s)} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export const clock = (date) => clockFormat.format(date);

/** stamp is a time of day, with the day when that is not today's. */
export function stamp(date, now) {
  const sameDay = date.toDateString() === now.toDateString();
  return sameDay ? clock(date) : `${dayFormat.format(date)} ${clock(date).slice(0, 5)}`;
}

export const signed = (n) => `${n >= 0 ? "+" : "−"}${rate(Math.abs(n))}`;

/** decided says whether a decision was made at all; Go writes a time that never was as year 1. */
export const decided = (decision) => !decision.at.startsWith("0001-");

/** intent says in words how many nodes there should be, and in shadow mode that nobody acts on it. */
export function intent({ decision, asked }) {
  if (decision.mode !== "shadow") return `${count(decision.desired)} desired`;
  const real = asked ? `${count(asked)} asked for` : "what is asked for is not known";
  return `${real}, this policy would ask for ${count(decision.desired)}`;
}

export const limit = (name) => LIMITS[name] ?? name;

export const urgency = (level) => URGENCIES[level] ?? `urgency ${level}`;
