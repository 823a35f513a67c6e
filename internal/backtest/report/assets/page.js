// The charts of a report: one group a trace, one line a row. Names become text, never markup.
(() => {
  "use strict";
  const { uPlot } = window;
  const data = JSON.parse(document.getElementById("data").textContent);
  const COLOURS = 8;
  const hidden = new Set();
  const plots = [];

  function el(name, props, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(props ?? {})) {
      if (key in node) node[key] = value;
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }

  const probe = el("span", { hidden: true });
  document.body.append(probe);
  /** colour resolves a custom property for the canvas, in the theme that is on. */
  function colour(name) {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }
  const key = (row) => (row < 0 ? "--need" : `--c${row % COLOURS}`);

  const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 });
  const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
  const two = (n) => String(n).padStart(2, "0");
  /** since writes seconds since the beginning as days, hours, minutes and, where the step asks for them, seconds. */
  function since(at, step) {
    const d = Math.floor(at / 86400), h = Math.floor(at / 3600) % 24, m = Math.floor(at / 60) % 60, s = Math.floor(at) % 60;
    const clock = `${two(h)}:${two(m)}`;
    const fine = step < 60 ? `${clock}:${two(s)}` : clock;
    return d ? `${d}d ${fine}` : fine;
  }

  const axis = (more) => ({
    stroke: () => colour("--soft"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false }, gap: 6,
    font: "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", ...more,
  });
  const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800];

  /** align puts lines with times of their own on one axis. */
  function align(group, lines) {
    const used = [...new Set(lines.map((l) => l.axis))];
    if (used.length === 1) return [group.axes[used[0]], ...lines.map((l) => l.values)];
    return uPlot.join(lines.map((l) => [group.axes[l.axis], l.values]));
  }

  function series(line) {
    const stroke = () => colour(key(line.row));
    return {
      label: line.label,
      show: !hidden.has(line.row),
      stroke,
      width: line.row === 0 ? 2 : 1.25,
      spanGaps: true,
      points: { show: false },
      dash: line.style === "dash" ? [4, 3] : undefined,
      fill: line.style === "area" ? () => colour("--need-fill") : undefined,
      paths: line.step ? uPlot.paths.stepped({ align: -1 }) : undefined,
    };
  }

  /** tip tells the values beside the cursor. */
  function tip(plot, box, chart, node) {
    const { idx, left } = plot.cursor;
    node.hidden = idx === null || idx === undefined || left < 0;
    if (node.hidden) return;
    const rows = el("dl");
    chart.lines.forEach((line, i) => {
      const value = plot.data[i + 1][idx];
      if (!plot.series[i + 1].show || value === null || value === undefined) return;
      const name = el("dt", {}, line.label);
      name.style.setProperty("--key", `var(${key(line.row)})`);
      rows.append(name, el("dd", {}, plain.format(value)));
    });
    node.replaceChildren(el("time", {}, since(plot.data[0][idx], 1)), rows);
    const x = plot.bbox.left / devicePixelRatio + left;
    const flip = x > box.clientWidth / 2;
    node.style.transform = `translate(${Math.round(flip ? x - node.offsetWidth - 12 : x + 12)}px, 4px)`;
  }

  function draw(group, chart, box) {
    const columns = align(group, chart.lines);
    const node = el("div", { className: "tip", hidden: true });
    const size = () => ({ width: Math.max(160, box.clientWidth), height: box.clientHeight });
    const plot = new uPlot({
      ...size(),
      padding: [8, 30, 0, 0],
      legend: { show: false },
      cursor: { y: false, sync: { key: group.title, setSeries: false }, points: { show: false } },
      scales: { x: { time: false }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [
        axis({ size: 24, space: 70, incrs: STEPS, values: (_, splits, _a, _s, step) => splits.map((at) => since(at, step)) }),
        axis({ size: 52, space: 30, values: (_, splits) => splits.map((n) => compact.format(n)) }),
      ],
      series: [{}, ...chart.lines.map(series)],
      hooks: { setCursor: [(u) => tip(u, box, chart, node)] },
    }, columns, box);
    box.append(node);
    plots.push({ plot, lines: chart.lines });
    new ResizeObserver(() => plot.setSize(size())).observe(box);
  }

  function table(group) {
    const head = el("tr", {}, ...group.head.map((text) => el("th", { scope: "col" }, text)));
    const body = group.lines.map(([name, ...cells]) =>
      el("tr", {}, el("th", { scope: "row" }, name), ...cells.map((text) => el("td", {}, text))));
    return el("div", { className: "wide" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
  }

  function show(group) {
    const section = el("section", { className: "panel group" },
      el("h2", {}, group.title, el("span", { className: "kind" }, group.kind)));
    const boxes = group.charts.filter((chart) => chart.lines.length).map((chart) => {
      const box = el("div", { className: "plot", role: "img", "aria-label": `${chart.title}, ${chart.unit}, of ${group.title}` });
      section.append(el("div", { className: "chart" }, el("h3", {}, `${chart.title}, ${chart.unit}`), box));
      return [chart, box];
    });
    if (group.lines) section.append(table(group));
    document.getElementById("groups").append(section);
    // A report may hold dozens of traces: a group is drawn when it comes into sight.
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      for (const [chart, box] of boxes) if (group.axes[chart.lines[0].axis].length > 0) draw(group, chart, box);
    }, { rootMargin: "400px" }).observe(section);
  }

  function toggle(row, button) {
    if (hidden.has(row)) hidden.delete(row);
    else hidden.add(row);
    button.setAttribute("aria-pressed", String(!hidden.has(row)));
    for (const { plot, lines } of plots) {
      plot.batch(() => lines.forEach((line, i) => {
        if (line.row === row) plot.setSeries(i + 1, { show: !hidden.has(row) });
      }));
    }
  }

  data.rows.forEach((name, row) => {
    const button = el("button", { type: "button", "aria-pressed": "true" }, name);
    button.style.setProperty("--key", `var(${key(row)})`);
    button.addEventListener("click", () => toggle(row, button));
    document.getElementById("legend").append(button);
  });
  for (const group of data.groups ?? []) show(group);

  const repaint = () => plots.forEach(({ plot }) => plot.redraw(false));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", repaint);
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    repaint();
  });
})();
