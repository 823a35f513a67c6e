// One uPlot chart: its size follows its box, its colours the theme, its cursor the mouse, a finger or the arrow keys.

import { colour, el, setHidden } from "./dom.js";
import { Tip } from "./tip.js";

const { uPlot } = window;
const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const SYNC = "fleet";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** An axis in the page's type: thin grid, no ticks. */
export const axis = (more = {}) => ({
  stroke: () => colour("--soft"),
  grid: { stroke: () => colour("--grid"), width: 1 },
  ticks: { show: false },
  font: FONT,
  gap: 6,
  ...more,
});

const two = (n) => String(n).padStart(2, "0");

/** times writes the time axis: hours and minutes, seconds only where the step asks for them. */
function times(_, splits, _axis, _space, step) {
  return splits.map((at) => {
    const d = new Date(at * 1000);
    const minutes = `${two(d.getHours())}:${two(d.getMinutes())}`;
    return step < 60 ? `${minutes}:${two(d.getSeconds())}` : minutes;
  });
}

export class Chart {
  /**
   * spec: { columns: () => [x, y…], series, scales, axes, bands, hooks, tip: (index, plot) => nodes }
   */
  constructor(box, spec, window) {
    this.box = box;
    this.spec = spec;
    this.window = window;
    this.note = el("p", { className: "plot-note" }, "Waiting for data");
    box.append(this.note);
    box.tabIndex = 0;
    box.setAttribute("role", "img");
    box.addEventListener("keydown", (event) => this.onKey(event));
    box.addEventListener("blur", () => this.plot?.setCursor({ left: -10, top: -10 }));
    new ResizeObserver(() => this.fit()).observe(box);
    dark.addEventListener("change", () => this.plot?.redraw(false));
  }

  render() {
    const columns = this.spec.columns();
    const ready = columns[0].length > 1;
    setHidden(this.note, ready);
    if (!ready) {
      this.plot?.setData(columns.map(() => []));
      return;
    }
    this.plot ??= this.make();
    const [min, max] = this.window();
    this.plot.batch(() => {
      this.plot.setData(columns, false);
      this.plot.setScale("x", { min, max });
    });
    this.tip.refresh();
  }

  make() {
    const { series, scales, axes, bands = [], hooks = {} } = this.spec;
    const plot = new uPlot({
      ...this.size(),
      padding: [8, axes.length > 1 ? 0 : 20, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: SYNC, setSeries: false },
        points: { size: 6, width: 0, fill: (u, i) => (u.series[i].width ? u.series[i].stroke(u, i) : "transparent") },
        focus: { prox: -1 },
      },
      scales: { x: { time: true }, ...scales },
      axes: [axis({ size: 26, space: 64, values: times }), ...axes],
      series: [{}, ...series],
      bands,
      hooks: { ...hooks, setCursor: [() => this.tip?.refresh()] },
    }, this.spec.columns(), this.box);
    this.tip = new Tip(plot, this.box, this.spec.tip);
    return plot;
  }

  size() {
    const style = getComputedStyle(this.box);
    return {
      width: Math.max(160, this.box.clientWidth - parseFloat(style.paddingRight)),
      height: this.box.clientHeight - parseFloat(style.paddingBottom),
    };
  }

  fit() {
    const { width, height } = this.size();
    if (this.plot && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
    if (!this.plot || (!step && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Escape") {
      this.plot.setCursor({ left: -10, top: -10 });
      return;
    }
    const at = this.plot.data[0];
    const from = this.plot.cursor.left >= 0 ? this.plot.cursor.idx : at.length;
    const [min] = this.window();
    let index = Math.min(at.length - 1, Math.max(0, from + step));
    while (index < at.length - 1 && at[index] < min) index++;
    this.plot.setCursor({ left: this.plot.valToPos(at[index], "x"), top: 10 }, true, true);
  }
}
