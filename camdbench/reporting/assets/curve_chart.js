"use strict";
// Chart of mean curves with bands, and a legend whose entries are buttons.
window.camdbenchCurveChart = ({ blocks, curves: charts }, several) => {
  const { style, number, lookOf, node, place, roomOf, byChart } = window.camdbenchChartParts;
  const section = document.getElementById("curves"), legend = section.querySelector(".legend");
  const state = { hidden: new Set(), bands: true };
  const nameOf = (line) => line.names.join(line.tied ? " = " : " ≈ ");
  const titleOf = (chart) => `${chart.metric}${chart.curve === "curve" ? "" : `: ${chart.curve}`}${several ? ` · ${chart.model}` : ""}`;
  /** Looks by line. They go by the place of its first explainer in the run, so that an explainer looks the same in every chart. */
  const looksOf = (chart) => chart.lines.map((line) => {
    const block = blocks.find((own) => own.model === chart.model), at = block.explainers.indexOf(line.names[0]);
    return lookOf(block.controls.slice(0, at).filter((control) => control === line.control).length, line.control);
  });
  const marker = (look) => {
    const shape = { circle: d3.symbolCircle, square: d3.symbolSquare, triangle: d3.symbolTriangle, diamond: d3.symbolDiamond, star: d3.symbolStar, wye: d3.symbolWye, cross: d3.symbolCross }[look.symbol];
    return node("svg", { width: 30, height: 12, "aria-hidden": "true", opacity: look.opacity },
      node("line", { x1: 0, x2: 30, y1: 6, y2: 6, stroke: look.colour, "stroke-width": 2, "stroke-dasharray": look.dash }),
      node("path", { d: d3.symbol(shape, 44)(), transform: "translate(15,6)", fill: look.hollow ? "var(--back)" : look.colour, stroke: look.colour }));
  };
  const button = (text, pressed, act, ...before) => {
    const found = document.createElement("button");
    found.type = "button";
    if (pressed !== null) found.setAttribute("aria-pressed", String(pressed));
    found.append(...before, text);
    found.addEventListener("click", act);
    return found;
  };

  const curves = (chart) => {
    const looks = looksOf(chart), room = roomOf(section), last = chart.x.length - 1;
    const shown = chart.lines.map((line, index) => ({ line, look: looks[index], index })).filter((own) => !state.hidden.has(nameOf(own.line)));
    const points = shown.map((own) => chart.x.map((x, at) => ({
      x, at, name: nameOf(own.line), mean: own.line.mean[at] ?? NaN, low: own.line.low[at] ?? NaN, high: own.line.high[at] ?? NaN,
    })));
    const every = Math.max(1, Math.round(last / 6));
    const title = `${titleOf(chart)}: ${chart.y_label}, by ${chart.x_label}`;
    const plot = Plot.plot({
      width: room, height: Math.max(320, Math.min(480, 0.5 * room)), marginLeft: 60, marginRight: 20, marginBottom: 44, marginTop: 26, style,
      x: { domain: [chart.x[0], chart.x[last]], label: chart.x_label, labelAnchor: "center", labelArrow: "none", tickFormat: number },
      y: { label: chart.y_label, labelArrow: "none", labelAnchor: "top", nice: true, ticks: 8, tickFormat: number, ...(shown.length ? {} : { domain: [0, 1] }) },
      marks: [
        Plot.gridX({ strokeOpacity: 0.12 }), Plot.gridY({ strokeOpacity: 0.12 }),
        ...(state.bands ? shown.map((own, at) => Plot.areaY(points[at], { x: "x", y1: "low", y2: "high", fill: own.look.colour, fillOpacity: (own.look.hollow ? 0.5 : 1) * Math.min(0.16, 0.5 / shown.length) })) : []),
        ...shown.map((own, at) => Plot.lineY(points[at], { x: "x", y: "mean", stroke: own.look.colour, strokeOpacity: own.look.opacity, strokeWidth: 2, strokeDasharray: own.look.dash })),
        ...shown.map((own, at) => Plot.dot(points[at].filter((point) => (point.at + own.index) % every === 0), {
          x: "x", y: "mean", r: 4, symbol: own.look.symbol, stroke: own.look.colour, strokeOpacity: own.look.opacity, fill: own.look.hollow ? "var(--back)" : own.look.colour,
        })),
        Plot.tip(points.flat(), Plot.pointer({
          x: "x", y: "mean", fill: "var(--back)", stroke: "currentColor", maxRadius: 20,
          title: (point) => `${point.name}\n${number(point.x)}: ${number(point.mean)} [${number(point.low)}, ${number(point.high)}]`,
        })),
      ],
    });
    const counts = chart.lines.map((line) => line.n), [fewest, most] = [Math.min(...counts), Math.max(...counts)];
    place(section, plot, title, `${fewest === most ? most : `${fewest} to ${most}`} images${shown.length < chart.lines.length ? `; ${chart.lines.length - shown.length} of ${chart.lines.length} lines are hidden` : ""}.${chart.without.length ? ` Without a curve: ${chart.without.join(", ")}.` : ""}`);
    draw(chart, looks);
  };
  /** The legend; the entry that was chosen keeps the focus. */
  const draw = (chart, looks) => {
    const at = [...legend.children].indexOf(document.activeElement);
    const redraw = () => curves(chart);
    const all = chart.lines.every((line) => !state.hidden.has(nameOf(line)));
    legend.replaceChildren(...chart.lines.map((line, index) => button(nameOf(line), !state.hidden.has(nameOf(line)), () => {
      if (!state.hidden.delete(nameOf(line))) state.hidden.add(nameOf(line));
      redraw();
    }, marker(looks[index]))),
    button(all ? "hide all" : "show all", null, () => {
      state.hidden = all ? new Set(chart.lines.map(nameOf)) : new Set();
      redraw();
    }), button("95 % bands", state.bands, () => { state.bands = !state.bands; redraw(); }));
    [...legend.children].slice(-2).forEach((own) => own.classList.add("plain"));
    if (at >= 0) legend.children[Math.min(at, legend.children.length - 1)].focus();
  };
  byChart(section, charts, titleOf, curves);
};
