"use strict";
// Chart of quality against cost: explainers with equal values and cost share a point, and labels do not overlap.
window.camdbenchCostChart = (data) => {
  const { style, cut, number, heading, way, place, roomOf, labels, byMetric } = window.camdbenchChartParts;
  const section = document.getElementById("cost"), axis = section.querySelector(".axis");
  const NAMES = { passes_per_image: "passes per image", seconds_per_image: "seconds per image" };

  const nameOf = (own) => own.names.join(own.tied ? " = " : " ≈ ");
  /** Points of a block and metric. Explainers of one place, up to a thousandth of the range and 1 % of the cost, are one point. */
  const pointsOf = (block, metric, cost) => {
    const chosen = data.cost.filter((own) => own.model === block.model && own.metric === metric.name && own[cost] !== undefined);
    const reach = 0.001 * (d3.max(chosen, (own) => own.mean) - d3.min(chosen, (own) => own.mean)), found = [];
    for (const own of chosen) {
      const twin = found.find((other) => other.control === own.is_control && Math.abs(other.mean - own.mean) <= reach && Math.abs(other.cost - own[cost]) <= 0.01 * other.cost);
      if (twin) {
        twin.names.push(own.explainer);
        twin.tied &&= own.tie_group === twin.tie_group;
      } else {
        const { tie_group, mean } = own;
        found.push({ names: [own.explainer], tie_group, tied: Boolean(tie_group), control: own.is_control, cost: own[cost], mean, low: own.ci_low ?? mean, high: own.ci_high ?? mean });
      }
    }
    return found;
  };
  /** Ticks at 1, 2 and 5 times powers of ten; at powers alone over a wide range. */
  const ticksOf = (low, high) => {
    const steps = high / low > 2000 ? [1] : [1, 2, 5];
    return d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1)
      .flatMap((power) => steps.map((step) => Number((step * 10 ** power).toPrecision(1)))).filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  };
  const better = (metric, one, two) => metric.direction * (one.mean - two.mean) > 0;

  const cost = (block, m) => {
    const metric = block.metrics[m], chosen = axis.value, room = roomOf(section), points = pointsOf(block, metric, chosen);
    const title = `${heading(metric)}${way(metric)}, against ${NAMES[chosen]}`;
    const paid = points.map((own) => own.cost).filter((value) => value > 0);
    const [least, most] = paid.length ? [Math.min(...paid), Math.max(...paid)] : [1, 1];
    const free = points.some((own) => own.cost <= 0), zero = least / 3;  // left of every cost, as a logarithm has no zero
    const domain = [free ? zero / 1.3 : least / 1.3, Math.max(most, least * 2) * 1.3];
    points.forEach((own) => { own.x = Math.log10(own.cost > 0 ? own.cost : zero); own.y = own.mean; own.label = cut(nameOf(own), 0.3 * room, 11); });
    const sorted = points.filter((own) => !own.control && metric.direction).sort((one, two) => one.x - two.x || metric.direction * (two.mean - one.mean));
    const front = sorted.filter((own, index) => sorted.slice(0, index).every((other) => better(metric, own, other)));
    const ticks = ticksOf(free ? least : domain[0], domain[1]);
    const words = (own) => `${nameOf(own)}: ${number(own.mean)}, ${number(own.cost)} ${NAMES[chosen]}`;
    const plot = Plot.plot({
      width: room, height: Math.max(340, Math.min(520, 0.5 * room)), marginLeft: 60, marginRight: 24, marginBottom: 44, marginTop: 26, style,
      x: { domain: domain.map(Math.log10), axis: null }, y: { label: heading(metric) + way(metric), labelArrow: "none", labelAnchor: "top", nice: true, ticks: 8, tickFormat: number, ...(points.length ? {} : { domain: [0, 1] }) },
      marks: [
        Plot.gridX(ticks.map(Math.log10), { strokeOpacity: 0.12 }), Plot.gridY({ strokeOpacity: 0.12 }),
        Plot.axisX((free ? [zero, ...ticks] : ticks).map(Math.log10), { tickFormat: (tick, index) => (free && !index ? "none" : number(10 ** tick)), label: `${NAMES[chosen]}, logarithmic`, labelAnchor: "center", labelArrow: "none" }),
        ...(free ? [Plot.ruleX([Math.log10(zero * least) / 2], { stroke: "currentColor", strokeOpacity: 0.4, strokeDasharray: "2 4" })] : []),
        Plot.line(front, { x: "x", y: "mean", stroke: "var(--c2)", strokeWidth: 1.5, strokeDasharray: "5 3" }),
        Plot.ruleX(points, { x: "x", y1: "low", y2: "high", stroke: "currentColor", strokeOpacity: 0.35 }),
        Plot.dot(points, {
          x: "x", y: "mean", r: 5, symbol: (own) => (own.control ? "square" : "circle"), fill: (own) => (own.control ? "var(--back)" : "var(--point)"),
          stroke: (own) => (own.control ? "currentColor" : "var(--point)"), title: words,
        }),
        labels(points),
      ],
    });
    const away = block.explainers.length - points.flatMap((own) => own.names).length;
    place(section, plot, title, [free ? "“none”: explainers without a pass through the network." : "", away ? `${away} without a mean or without recorded cost.` : "",
      front.length ? `Not surpassed: ${front.map((own) => nameOf(own)).join(", ")}.` : ""].filter(Boolean).join(" "));
  };
  axis.addEventListener("change", byMetric(section, data.blocks, cost));
};
