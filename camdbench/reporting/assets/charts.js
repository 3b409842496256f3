"use strict";
// Charts of a run, drawn by Observable Plot: values of images and ranks. Names come from the run and enter as text alone.
window.camdbenchCharts = (data) => {
  const { style, number, p, heading, way, node, place, roomOf, marginOf, namesAxis, rows, byChart, byMetric } = window.camdbenchChartParts;
  const several = new Set(data.blocks.map((block) => block.model)).size > 1;
  const sectionOf = (id) => document.getElementById(id);

  // ---------------------------------------------------------------- values of images: bins above, box in the middle, points below
  const bars = (own, row) => {
    if (!own.counts || own.quartiles[0] === own.quartiles[4]) return [];
    const most = Math.max(...own.counts), step = (own.to - own.from) / own.counts.length;
    return own.counts.map((count, index) => ({ x1: own.from + index * step, x2: own.from + (index + 1) * step, top: row - 0.08 - 0.37 * count / most, row: row - 0.08, count })).filter((bar) => bar.count);
  };
  const distributions = (block, m) => {
    const section = sectionOf("distributions"), metric = block.metrics[m], names = block.explainers;
    const points = names.flatMap((explainer, row) => block.values[m][row].map((value, index) => ({
      explainer, value, row: row + 0.2 + 0.24 * ((index * 0.618034) % 1), image: data.images[index].id, control: block.controls[row],
    }))).filter((point) => point.value !== null);
    const boxes = names.map((explainer, row) => ({ explainer, row, ...block.spread[m][row] }));
    const filled = boxes.filter((own) => own.n).map((own) => ({ ...own, low: own.quartiles[1], middle: own.quartiles[2], high: own.quartiles[3] }));
    const room = roomOf(section), margin = marginOf(names, room);
    const title = `Values of ${heading(metric)} of each image, by explainer`;
    const most = Math.max(0, ...filled.map((own) => own.n));
    const note = !filled.length ? "No image has a value."
      : most > data.images.length ? `Points are the ${data.images.length} images that this page shows; bins, boxes and means are of all values, up to ${most} per explainer.`
        : `All values are shown, up to ${most} per explainer.`;
    const plot = Plot.plot({
      width: room, height: 60 + 40 * names.length, marginLeft: margin, marginRight: 20, marginBottom: 40, marginTop: 6, style,
      x: { label: heading(metric) + way(metric), labelAnchor: "center", labelArrow: "none", nice: true, tickFormat: number, ...(filled.length ? {} : { domain: [0, 1] }) },
      y: rows(names.length),
      marks: [
        Plot.gridX({ strokeOpacity: 0.12 }), Plot.axisX({ tickFormat: number, label: heading(metric) + way(metric), labelAnchor: "center", labelArrow: "none" }),
        ...namesAxis(names, block.controls, margin),
        Plot.rect(filled.flatMap((own) => bars(own, own.row)), { x1: "x1", x2: "x2", y1: "row", y2: "top", fill: "currentColor", fillOpacity: 0.28, ariaHidden: "true" }),
        Plot.rect(filled, { x1: "low", x2: "high", y1: (own) => own.row - 0.04, y2: (own) => own.row + 0.14, fill: "currentColor", fillOpacity: 0.14, stroke: "currentColor", strokeOpacity: 0.5 }),
        Plot.dot(points, {
          x: "value", y: "row", r: 2.2, fill: (point) => (point.control ? "var(--soft)" : "var(--point)"), fillOpacity: 0.65, ariaHidden: "true",
          title: (point) => `${point.image}: ${point.value}`, href: (point) => `#image=${encodeURIComponent(point.image)}`,
        }),
        Plot.link(filled, { x1: "middle", x2: "middle", y1: (own) => own.row - 0.06, y2: (own) => own.row + 0.16, stroke: "currentColor", strokeWidth: 2.5 }),
        Plot.dot(filled, {
          x: "mean", y: (own) => own.row + 0.05, symbol: "times", stroke: "var(--c2)", strokeWidth: 2, r: 4,
          title: (own) => `${own.explainer}: mean ${number(own.mean)}, median ${number(own.middle)}, quartiles ${number(own.low)} and ${number(own.high)}, ${own.n} values`,
        }),
        Plot.text(boxes.filter((own) => !own.n), { y: "row", text: () => "no value", frameAnchor: "left", dx: 6, fontStyle: "italic" }),
      ],
    });
    place(section, plot, title, note);
  };

  // ---------------------------------------------------------------- ranks
  /** The column of each bar: the first in which it meets no other. */
  const columnsOf = (groups) => {
    const ends = [];
    return groups.map(([first, last]) => {
      const free = ends.findIndex((end) => end < first);
      const column = free < 0 ? ends.length : free;
      ends[column] = last;
      return column;
    });
  };
  const ranks = (chart) => {
    const section = sectionOf("ranks"), names = chart.explainers, count = names.length;
    const dots = names.map((explainer, row) => ({ explainer, row, rank: chart.ranks[row], control: chart.controls[row] }));
    const columns = columnsOf(chart.groups), side = 24 + 12 * (1 + Math.max(-1, ...columns));
    const room = roomOf(section), margin = marginOf(names, room);
    const bar = (_, scales, __, frame) => node("g", { "aria-hidden": "true" }, ...chart.groups.map(([first, last], index) => {
      const x = frame.width - side + 16 + 12 * columns[index];
      const line = node("line", { x1: x, x2: x, y1: scales.y(first) - 4, y2: scales.y(last) + 4, stroke: "var(--c2)", "stroke-width": 4, "stroke-linecap": "round" });
      line.append(node("title", {}, `no two differ significantly: ${names.slice(first, last + 1).join(", ")}`));
      return line;
    }));
    const plot = Plot.plot({
      width: room, height: 54 + 24 * count, marginLeft: margin, marginRight: side, marginBottom: 40, marginTop: 6, style,
      x: { domain: [1, count], axis: null }, y: rows(count),
      marks: [
        Plot.gridX(d3.range(1, count + 1), { strokeOpacity: 0.12 }),
        Plot.axisX(d3.range(1, count + 1, Math.max(1, Math.ceil(30 * count / (room - margin - side)))), { tickFormat: String, label: `mean rank by ${chart.metric} (1 is best)`, labelAnchor: "center", labelArrow: "none" }),
        ...namesAxis(names, chart.controls, margin),
        Plot.link(dots, { x1: 1, x2: "rank", y1: "row", y2: "row", stroke: "currentColor", strokeOpacity: 0.3 }),
        Plot.dot(dots, { x: "rank", y: "row", r: 4.5, fill: (own) => (own.control ? "var(--back)" : "var(--point)"), stroke: (own) => (own.control ? "currentColor" : "var(--point)"), title: (own) => `${own.explainer}: ${own.rank}` }),
        bar,
      ],
    });
    const concordance = `${chart.n} images, ${count} explainers, Friedman ${p(chart.friedman_p)}, Kendall W = ${number(chart.kendall_w)}.`;
    place(section, plot, `Mean ranks by ${chart.metric}${several ? ` of ${chart.model}` : ""}`,
      chart.groups.length ? concordance : `${concordance} All neighbours differ significantly.`);
  };

  if (!data.blocks.length) return;
  byMetric(sectionOf("distributions"), data.blocks, distributions);
  if (sectionOf("ranks")) byChart(sectionOf("ranks"), data.ranks, (chart) => (several ? `${chart.metric} · ${chart.model}` : chart.metric), ranks);
  if (sectionOf("cost")) window.camdbenchCostChart(data);
  if (sectionOf("sweeps")) window.camdbenchSweepChart(data.sweeps, several);
  if (sectionOf("curves")) window.camdbenchCurveChart(data, several);
};
