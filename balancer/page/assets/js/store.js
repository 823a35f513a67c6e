// What the page knows of one fleet: chart columns and the decisions, fed by one history and then by snapshots.

import { decided } from "./format.js";

const MOST_POINTS = 20_000;
const MOST_CHANGES = 200;

export class Store {
  constructor() {
    this.reset();
  }

  reset() {
    this.columns = { at: [] };
    this.changes = [];
    this.snapshot = null;
    /** waiting holds points that arrive while a history is on its way. */
    this.waiting = null;
  }

  /** lastAt is the time of the newest point, in seconds; 0 when there is none. */
  get lastAt() {
    return this.columns.at.at(-1) ?? 0;
  }

  /** shadow says that what is decided is shown and not acted on. */
  get shadow() {
    return this.snapshot?.decision.mode === "shadow";
  }

  get firstAt() {
    return this.columns.at[0] ?? 0;
  }

  /** hold keeps new points apart until load has put the past before them. */
  hold() {
    this.waiting ??= [];
  }

  /** load puts a history behind what is known; when it reaches further back than a gap, nothing is doubled. */
  load(history) {
    for (let i = 0; i < history.columns.at.length; i++) {
      this.push(Object.fromEntries(Object.entries(history.columns).map(([name, column]) => [name, column[i]])));
    }
    this.changes = history.changes;
    const waiting = this.waiting ?? [];
    this.waiting = null;
    waiting.forEach((point) => this.push(point));
  }

  /** add takes a snapshot. It returns false when a decision was missed and the history should be read again. */
  add(snapshot) {
    this.snapshot = snapshot;
    if (this.waiting) {
      this.waiting.push(snapshot.point);
      return true;
    }
    this.push(snapshot.point);
    return this.addChange(snapshot);
  }

  addChange({ decision, from }) {
    if (!decided(decision)) return true;
    const last = this.changes.at(-1);
    if (last && last.decision.desired === decision.desired) return true;
    if (last && last.decision.desired !== from) return false;
    this.changes = [...this.changes, { from, decision }].slice(-MOST_CHANGES);
    return true;
  }

  push(point) {
    if (point.at <= this.lastAt) {
      // The server's clock went back: what lies ahead of it now never happened on this axis.
      if (this.lastAt - point.at > 0) this.truncate(point.at);
      else return;
    }
    for (const [name, value] of Object.entries(point)) {
      const column = (this.columns[name] ??= []);
      column.push(value);
      if (column.length > MOST_POINTS) column.splice(0, MOST_POINTS / 10);
    }
  }

  truncate(at) {
    let keep = this.columns.at.length;
    while (keep > 0 && this.columns.at[keep - 1] >= at) keep--;
    for (const column of Object.values(this.columns)) column.length = keep;
  }
}
