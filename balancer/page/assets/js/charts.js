// The three charts over one time axis, with one cursor.

import { byId, el, setAttr } from "./dom.js";
import * as f from "./format.js";
import { Chart } from "./chart.js";
import { clientsChart, fleetChart, trafficChart } from "./series.js";

const RANGES = [["5m", 300], ["15m", 900], ["1h", 3600], ["6h", 21_600], ["24h", 86_400]];
const DEFAULT_RANGE = "15m";
/** A fleet that has just begun is not stretched over the whole width. */
const SHORTEST = 60;

export class Charts {
  constructor(store, range) {
    this.store = store;
    this.range = RANGES.some(([name]) => name === range) ? range : DEFAULT_RANGE;
    const window = () => this.window();
    this.all = [
      new Chart(byId("chart-fleet"), fleetChart(store), window),
      new Chart(byId("chart-clients"), clientsChart(store), window),
      new Chart(byId("chart-traffic"), trafficChart(store), window),
    ];
    this.buttons = RANGES.map(([name]) => {
      const button = el("button", { type: "button" }, name);
      button.addEventListener("click", () => this.show(name));
      return button;
    });
    byId("ranges").replaceChildren(...this.buttons);
    this.show(this.range);
  }

  show(range) {
    this.range = range;
    RANGES.forEach(([name], i) => setAttr(this.buttons[i], "aria-pressed", String(name === range)));
    this.render();
  }

  /** window is the time shown, in seconds: the range, or less while there is less. */
  window() {
    const end = this.store.lastAt;
    const span = RANGES.find(([name]) => name === this.range)[1];
    return [Math.max(end - span, Math.min(this.store.firstAt, end - SHORTEST)), end];
  }

  render() {
    for (const chart of this.all) chart.render();
    const s = this.store.snapshot;
    if (!s) return;
    const label = (id, text) => setAttr(byId(id), "aria-label", `${text} Arrow keys move through time.`);
    label("chart-fleet", `Chart of the last ${this.range}: ${s.totals.serving} nodes serving, ${f.intent(s)}.`);
    label("chart-clients", `Chart of the last ${this.range}: ${f.count(s.totals.connections)} clients.`);
    label("chart-traffic", `Chart of the last ${this.range}: ${f.rate(s.totals.messagesPerSecond)} messages a second.`);
  }
}
