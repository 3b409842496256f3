"use strict";
// Charts of a metric against an option that the run varied.
window.camdbenchSweepChart = (charts, several) => {
  const { style, number, heading, way, lookOf, place, roomOf, byChart } = window.camdbenchChartParts;
  const section = document.getElementById("sweeps");
  const nameOf = (chart) => `${chart.option} of ${chart.of}: ${chart.metric}${several ? ` · ${chart.model}` : ""}`;
  const sweep = (chart) => {
    const metric = { name: chart.metric, unit: chart.unit, direction: chart.direction }, room = roomOf(section);
    const points = chart.lines.map((line) => line.points.map((own) => ({ ...own, x: chart.wide ? Math.log10(own.value) : own.value, low: own.low ?? own.mean, high: own.high ?? own.mean })));
    const values = [...new Map(points.flat().map((own) => [own.x, own.value])).entries()].sort((one, two) => (chart.numeric ? one[0] - two[0] : 0));
    const names = new Map(values), few = values.length <= 10;
    const title = `${heading(metric)}${way(metric)}, against ${chart.option} of ${chart.of}`;
    const axis = { label: `${chart.option} of ${chart.of}${chart.wide ? ", logarithmic" : ""}`, labelAnchor: "center", labelArrow: "none" };
    const own = (at, part) => Object.assign(part, { stroke: lookOf(at, false).colour, strokeDasharray: lookOf(at, false).dash });
    const plot = Plot.plot({
      width: room, height: Math.max(320, Math.min(420, 0.4 * room)), marginLeft: 60, marginRight: 24, marginBottom: 44, marginTop: 26, style,
      x: { type: chart.numeric ? "linear" : "point", axis: null, nice: false, inset: 12, ...(chart.numeric ? {} : { domain: values.map(([x]) => x), padding: 0.3 }) },
      y: { label: heading(metric) + way(metric), labelArrow: "none", labelAnchor: "top", nice: true, ticks: 8, tickFormat: number },
      marks: [
        Plot.gridY({ strokeOpacity: 0.12 }),
        few || !chart.numeric ? Plot.axisX(values.map(([x]) => x), { ...axis, tickFormat: (x) => (chart.numeric ? number(names.get(x)) : x) })
          : Plot.axisX({ ...axis, tickFormat: (x) => number(chart.wide ? 10 ** x : x) }),
        ...points.map((line, at) => Plot.ruleX(line, own(at, { x: "x", y1: "low", y2: "high", strokeOpacity: 0.7, strokeWidth: 1.5 }))),
        ...(chart.numeric ? points : []).map((line, at) => Plot.line(line, own(at, { x: "x", y: "mean", strokeWidth: 2 }))),
        ...points.map((line, at) => Plot.dot(line, {
          x: "x", y: "mean", r: 4.5, symbol: lookOf(at, false).symbol, fill: lookOf(at, false).colour, stroke: lookOf(at, false).colour,
          title: (point) => `${point.explainer}: ${number(point.mean)} [${number(point.low)}, ${number(point.high)}]`,
        })),
        ...(chart.lines.length > 1 ? [Plot.text(points.map((line, at) => ({ ...line.at(-1), label: chart.lines[at].label })), { x: "x", y: "mean", text: "label", dx: -8, dy: -10, textAnchor: "end" })] : []),
      ],
    });
    place(section, plot, title, chart.lines.length > 1 || chart.lines[0].label === chart.of ? "" : `Line: ${chart.lines[0].label}.`);
  };
  byChart(section, charts, nameOf, sweep);
};
