"use strict";
// Charts of a run, drawn by Observable Plot; a point is a link to its image. Names come from the run and enter as text alone.
window.camdbenchCharts = (data) => {
  const style = { fontSize: "12px", color: "currentColor", overflow: "visible" };
  const fill = (select, names) => select.replaceChildren(...names.map((name, index) => {
    const option = document.createElement("option");
    option.value = String(index);
    option.textContent = name;
    return option;
  }));
  const heading = (metric) => `${metric.name}${metric.unit ? ` (${metric.unit})` : ""}`;
  const way = (metric) => (metric.direction > 0 ? ", higher is better" : metric.direction < 0 ? ", lower is better" : "");
  const margin = (names) => Math.min(320, 24 + 7 * Math.max(0, ...names.map((name) => name.length)));
  const place = (section, plot) => {
    plot.querySelectorAll("g[aria-label]").forEach((group) => group.removeAttribute("aria-label"));  // of no role, which a label needs
    section.querySelector(".plot").replaceChildren(plot);
  };

  /** A section with a choice of model and metric, which `draw` fills. */
  const byMetric = (id, draw) => {
    const section = document.getElementById(id);
    const [blocks, metrics] = [section.querySelector(".block"), section.querySelector(".metric")];
    const redraw = () => place(section, draw(data.blocks[Number(blocks.value)], Number(metrics.value)));
    const setBlock = () => { fill(metrics, data.blocks[Number(blocks.value)].metrics.map((metric) => metric.name)); redraw(); };
    fill(blocks, data.blocks.map((block) => block.title));
    blocks.parentElement.hidden = data.blocks.length < 2;
    blocks.addEventListener("change", setBlock);
    metrics.addEventListener("change", redraw);
    setBlock();
  };

  const distributions = (block, m) => {
    const metric = block.metrics[m];
    const points = block.explainers.flatMap((explainer, e) => block.values[m][e].map((value, index) => ({ explainer, value, image: data.images[index].id })))
      .filter((point) => point.value !== null);
    const boxes = block.explainers.map((explainer, e) => ({ explainer, ...block.spread[m][e] })).filter((own) => own.n)
      .map((own) => ({ explainer: own.explainer, low: own.quartiles[1], middle: own.quartiles[2], high: own.quartiles[3], mean: own.mean }));
    return Plot.plot({
      width: 960, height: 60 + 28 * block.explainers.length, marginLeft: margin(block.explainers), marginBottom: 40, style,
      ariaLabel: `Values of ${metric.name} of each image, by explainer`,
      x: { label: heading(metric) + way(metric), labelAnchor: "center", labelArrow: "none", grid: true, nice: true },
      y: { label: null, domain: block.explainers },
      marks: [
        Plot.barX(boxes, { x1: "low", x2: "high", y: "explainer", fill: "currentColor", fillOpacity: 0.12, inset: 4 }),
        Plot.dot(points, {
          x: "value", y: "explainer", r: 2.5, fill: "#0072b2", fillOpacity: 0.5,
          title: (point) => `${point.image}: ${point.value}`, href: (point) => `#image=${encodeURIComponent(point.image)}`,
        }),
        Plot.tickX(boxes, { x: "middle", y: "explainer", stroke: "currentColor", strokeWidth: 2, inset: 4 }),
        Plot.dot(boxes, { x: "mean", y: "explainer", symbol: "times", stroke: "#d55e00", strokeWidth: 2, r: 4 }),
      ],
    });
  };

  const ranks = (chart) => {
    const dots = chart.explainers.map((explainer, index) => ({ explainer, rank: chart.ranks[index] }));
    const most = chart.explainers.length;
    const bars = chart.groups.map(([first, last], index) => ({ from: chart.explainers[first], to: chart.explainers[last], at: most + 0.4 + 0.25 * index }));
    return Plot.plot({
      width: 960, height: 60 + 24 * most, marginLeft: margin(chart.explainers), marginBottom: 40, style,
      ariaLabel: `Mean ranks by ${chart.metric}`,
      x: { label: `mean rank by ${chart.metric} over ${chart.n} images`, labelAnchor: "center", labelArrow: "none", grid: true, domain: [1, most + 0.4 + 0.25 * bars.length], ticks: d3.range(1, most + 1) },
      y: { label: null, domain: chart.explainers, type: "point", padding: 0.5 },
      marks: [
        Plot.ruleY(dots, { y: "explainer", x1: 1, x2: "rank", stroke: "currentColor", strokeOpacity: 0.25 }),
        Plot.dot(dots, { x: "rank", y: "explainer", r: 4, fill: "#0072b2", title: (own) => `${own.explainer}: ${own.rank}` }),
        Plot.link(bars, { x1: "at", x2: "at", y1: "from", y2: "to", stroke: "#d55e00", strokeWidth: 4, strokeLinecap: "round" }),
      ],
    });
  };

  const cost = (block, m) => {
    const metric = block.metrics[m];
    const points = data.cost.filter((own) => own.model === block.model && own.metric === metric.name)
      .map((own) => ({ ...own, passes: Math.max(own.passes_per_image, 0.5) }));
    const sorted = points.filter((own) => !own.is_control).sort((one, two) => one.passes - two.passes || metric.direction * (two.mean - one.mean));
    const line = sorted.filter((own, index) => metric.direction && sorted.slice(0, index).every((other) => metric.direction * (own.mean - other.mean) > 0));
    return Plot.plot({
      width: 960, height: 420, marginLeft: 60, marginRight: 160, marginBottom: 44, style,
      ariaLabel: `${metric.name} against passes per image`,
      x: { type: "log", label: "passes per image (none: at 0.5)", labelAnchor: "center", labelArrow: "none", grid: true, nice: true },
      y: { label: heading(metric) + way(metric), labelArrow: "none", grid: true, nice: true },
      marks: [
        Plot.line(line, { x: "passes", y: "mean", stroke: "#d55e00", strokeDasharray: "4 3" }),
        Plot.dot(points, {
          x: "passes", y: "mean", r: 5, symbol: (own) => (own.is_control ? "square" : "circle"), fill: (own) => (own.is_control ? "none" : "#0072b2"), stroke: "#0072b2",
          title: (own) => `${own.explainer}: ${own.mean}, ${own.passes_per_image} passes${own.seconds_per_image ? `, ${own.seconds_per_image} s` : ""}`,
        }),
        Plot.text(points, { x: "passes", y: "mean", text: "explainer", dx: 9, textAnchor: "start", fontSize: 11 }),
      ],
    });
  };

  if (!data.blocks.length) return;
  byMetric("distributions", distributions);
  byMetric("cost", cost);
  const section = document.getElementById("ranks");
  if (!data.ranks.length) { section.hidden = true; return; }
  const choice = section.querySelector(".chart");
  fill(choice, data.ranks.map((chart) => (new Set(data.ranks.map((own) => own.model)).size > 1 ? `${chart.metric} · ${chart.model}` : chart.metric)));
  const redraw = () => place(section, ranks(data.ranks[Number(choice.value)]));
  choice.addEventListener("change", redraw);
  redraw();
};
