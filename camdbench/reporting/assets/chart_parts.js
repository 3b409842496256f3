"use strict";
// Parts that charts share: colours and markers, texts that fit, axes of names, and labels that do not overlap.
window.camdbenchChartParts = (() => {
  const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "wye", "cross"];
  const DASHES = [null, "7 3", "2 3", "9 3 2 3"];
  const pen = document.createElement("canvas").getContext("2d");
  const style = { fontSize: "12px", color: "currentColor", overflow: "visible" };

  const width = (text, size = 12) => { pen.font = `${size}px system-ui, sans-serif`; return pen.measureText(text).width; };
  /** A text with at most `room` pixels; what is cut off is an ellipsis. */
  const cut = (text, room, size = 12) => {
    let count = text.length;
    while (count > 1 && width(count < text.length ? `${text.slice(0, count)}…` : text, size) > room) count -= 1;
    return count < text.length ? `${text.slice(0, count)}…` : text;
  };
  /** Three significant digits, without exponent where it can be read: 0.2, 20, 1500. */
  const number = (value) => (value === null || value === undefined ? "—" : String(Number(Number(value).toPrecision(3))));
  const p = (value) => (value < 1e-4 ? "p < 0.0001" : `p = ${number(value)}`);
  const heading = (metric) => `${metric.name}${metric.unit ? ` (${metric.unit})` : ""}`;
  const way = (metric) => (metric.direction > 0 ? ", higher is better" : metric.direction < 0 ? ", lower is better" : "");

  /** Colour, dash and marker of the entry at a place: eight colours, then the same with dashes; controls are grey. */
  const lookOf = (place, control) => ({
    colour: control ? "currentColor" : `var(--c${1 + place % 8})`,
    opacity: control ? 0.55 : 1,
    dash: control ? DASHES[1 + place % 3] : DASHES[Math.floor(place / 8) % DASHES.length],
    symbol: SYMBOLS[place % SYMBOLS.length],
    hollow: control,
  });

  const node = (name, facts = {}, ...inside) => {
    const found = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(facts)) if (value !== null && value !== undefined) found.setAttribute(key, value);
    found.append(...inside);
    return found;
  };

  /** Put a chart into its section, with a title, and a line of text below it. */
  const place = (section, plot, title, note = "") => {
    const svg = plot.tagName === "svg" ? plot : plot.querySelector("svg");
    svg.prepend(node("title", {}, title));
    svg.setAttribute("role", "group");  // no image, which may hold no links
    svg.setAttribute("aria-label", note ? `${title}. ${note}` : title);
    svg.querySelectorAll("g[aria-label]").forEach((group) => group.removeAttribute("aria-label"));  // of no role, which a label needs
    svg.querySelectorAll("a").forEach((link) => link.setAttribute("tabindex", "-1"));  // the list of images has the same links
    const line = (className, textContent) => Object.assign(document.createElement("p"), { className, textContent });
    section.querySelector(".plot").replaceChildren(line("title", title), plot, ...(note ? [line("note", note)] : []));  // choices are not printed
  };

  const roomOf = (section) => Math.max(320, Math.min(1100, section.querySelector(".plot").clientWidth || 960));
  /** Draw now, and again when the width of the section changes. */
  const watch = (section, draw) => {
    let before = 0;
    const safely = () => {
      try { draw(); } catch (error) {
        console.error(error);
        section.querySelector(".plot").textContent = "The chart cannot be drawn; its numbers are in the table below.";
      }
    };
    new ResizeObserver(() => {
      const room = roomOf(section);
      if (Math.abs(room - before) > 4) { before = room; safely(); }
    }).observe(section.querySelector(".plot"));
    before = roomOf(section);
    safely();
    return safely;
  };

  const marginOf = (names, room) => Math.min(0.36 * room, 320, 26 + Math.max(0, ...names.map((name) => width(name))));
  /** Axis of names at 0, 1, …, from top to bottom; those of controls are in italics. */
  const namesAxis = (names, controls, margin) => {
    const axis = (chosen, fontStyle) => Plot.axisY(chosen, {
      fontStyle, tickSize: 0, label: null, tickFormat: (index) => cut(names[index], margin - 12), title: (index) => names[index],
    });
    const places = names.map((_, index) => index);
    return [axis(places.filter((index) => !controls[index]), "normal"), axis(places.filter((index) => controls[index]), "italic")];
  };
  const rows = (count) => ({ type: "linear", domain: [count - 0.5, -0.5], label: null, axis: null });

  const meets = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
  /** Places of labels beside points, in pixels, as far as possible without overlap.
   *  points: {x, y, label}; frame: {left, right, top, bottom}. Returns {x, y, width, height, far} of each. */
  const arrange = (points, frame, size = 11) => {
    const height = size + 3, taken = points.map((own) => ({ x: own.x - 6, y: own.y - 6, width: 12, height: 12 }));
    const order = points.map((_, index) => index).sort((one, two) => points[one].y - points[two].y || points[one].x - points[two].x);
    const found = [];
    for (const index of order) {
      const own = points[index], wide = width(own.label, size) + 2;
      const tries = [];
      for (const shift of [0, 1, -1, 2, -2, 3, -3, 4, -4, 6, -6, 8, -8, 10, -10, 13, -13]) {
        const y = own.y - height / 2 + shift * (height - 1);
        const away = Math.abs(shift) > 1 ? 16 : 9;
        tries.push({ x: own.x + away, y }, { x: own.x - away - wide, y });
        if (shift) tries.push({ x: own.x - wide / 2, y });
      }
      const boxes = tries.map((at) => ({ ...at, width: wide, height })).filter((box) =>
        box.x >= frame.left && box.x + wide <= frame.right && box.y >= frame.top && box.y + height <= frame.bottom);
      const free = boxes.find((box) => !taken.some((other) => meets(box, other)));
      const box = free ?? boxes[0] ?? { x: own.x + 9, y: own.y - height / 2, width: wide, height };
      taken.push(box);
      found[index] = { ...box, far: Math.abs(box.y + height / 2 - own.y) > height || box.x > own.x + 12 };
    }
    return found;
  };
  /** Marks of labels: texts, and thin lines to points that are away. */
  const labels = (points, size = 11) => (_, scales, __, frame) => {
    const pixels = points.map((own) => ({ x: scales.x(own.x), y: scales.y(own.y), label: own.label }));
    const edges = { left: frame.marginLeft, right: frame.width - 2, top: 2, bottom: frame.height - frame.marginBottom };
    const group = node("g", { "font-size": size, "text-anchor": "start", "aria-hidden": "true" });
    arrange(pixels, edges, size).forEach((box, index) => {
      const own = pixels[index], middle = box.y + box.height / 2;
      if (box.far) {
        const end = Math.max(box.x, Math.min(own.x, box.x + box.width));
        group.append(node("line", { x1: own.x, y1: own.y, x2: end, y2: end === own.x ? (middle < own.y ? box.y + box.height : box.y) : middle, stroke: "currentColor", "stroke-opacity": 0.4 }));
      }
      group.append(node("text", { x: box.x + 1, y: middle, dy: "0.32em", "font-style": points[index].control ? "italic" : null }, own.label));
    });
    return group;
  };

  const fill = (select, names) => select.replaceChildren(...names.map((name, index) => {
    const option = document.createElement("option");
    option.value = String(index);
    option.textContent = name;
    return option;
  }));
  /** A section with a choice among charts. `draw` is given the chart that is chosen. */
  const byChart = (section, charts, nameOf, draw) => {
    const choice = section.querySelector(".chart");
    fill(choice, charts.map(nameOf));
    choice.addEventListener("change", watch(section, () => draw(charts[Number(choice.value)])));
  };
  /** A section with a choice of model and metric. `draw` is given the block and the place of the metric. */
  const byMetric = (section, blocks, draw) => {
    const [model, metric] = [section.querySelector(".block"), section.querySelector(".metric")];
    const own = () => blocks[Number(model.value)];
    fill(model, blocks.map((block) => block.title));
    model.parentElement.hidden = blocks.length < 2;
    fill(metric, own().metrics.map((one) => one.name));
    const redraw = watch(section, () => draw(own(), Number(metric.value)));
    model.addEventListener("change", () => { fill(metric, own().metrics.map((one) => one.name)); redraw(); });
    metric.addEventListener("change", redraw);
    return redraw;
  };

  return { style, width, cut, number, p, heading, way, lookOf, node, place, roomOf, watch, marginOf, namesAxis, rows, labels, byChart, byMetric };
})();
