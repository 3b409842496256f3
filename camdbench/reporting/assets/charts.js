"use strict";
// Charts of a run, drawn by Observable Plot; a click on a point shows its image.
window.camdbenchCharts = (data) => {
  const section = document.getElementById("distributions");
  if (!section || !data.blocks.length) return;
  const [blocks, metrics] = [section.querySelector(".block"), section.querySelector(".metric")];
  const fill = (select, names) => select.replaceChildren(...names.map((name, index) => {
    const option = document.createElement("option");
    option.value = String(index);
    option.textContent = name;
    return option;
  }));
  const draw = () => {
    const block = data.blocks[Number(blocks.value)], m = Number(metrics.value), metric = block.metrics[m];
    const points = block.explainers.flatMap((explainer, e) => block.values[m][e].map((value, index) => ({ explainer, value, image: data.images[index].id })))
      .filter((point) => point.value !== null);
    const spreads = block.explainers.map((explainer, e) => ({ explainer, ...block.spread[m][e] })).filter((own) => own.n);
    const boxes = spreads.map((own) => ({ explainer: own.explainer, low: own.quartiles[1], middle: own.quartiles[2], high: own.quartiles[3], mean: own.mean }));
    const plot = Plot.plot({
      width: 900, height: 40 + 30 * block.explainers.length, marginLeft: 220, marginBottom: 40, style: { fontSize: "12px", color: "currentColor" },
      ariaLabel: `Values of ${metric.name} by explainer`,
      x: { label: `${metric.name}${metric.unit ? ` (${metric.unit})` : ""}${metric.direction > 0 ? " →" : metric.direction < 0 ? " ←" : ""}`, grid: true, nice: true },
      y: { label: null, domain: block.explainers },
      marks: [
        Plot.rect(boxes, { x1: "low", x2: "high", y: "explainer", fill: "currentColor", fillOpacity: 0.12, insetTop: 4, insetBottom: 4 }),
        Plot.dot(points, { x: "value", y: "explainer", r: 2.5, fill: "#0072b2", fillOpacity: 0.5, title: (point) => `${point.image}: ${point.value}`, href: (point) => `#image=${encodeURIComponent(point.image)}` }),
        Plot.tickX(boxes, { x: "middle", y: "explainer", stroke: "currentColor", strokeWidth: 2 }),
        Plot.dot(boxes, { x: "mean", y: "explainer", symbol: "times", stroke: "#d55e00", strokeWidth: 2, r: 4 }),
      ],
    });
    section.querySelector(".plot").replaceChildren(plot);
  };
  const setBlock = () => { fill(metrics, data.blocks[Number(blocks.value)].metrics.map((metric) => metric.name)); draw(); };
  fill(blocks, data.blocks.map((block) => block.title));
  blocks.addEventListener("change", setBlock);
  metrics.addEventListener("change", draw);
  setBlock();
};
