"use strict";
// One image: its input, and the map of every explainer with its values.
(() => {
  const page = window.camdbench;
  const { data, find, all, make, drawn, source, number, state, block } = page;
  const AT_ONCE = 8;  // values below a map; further ones unfold
  const FAINT = 0.25;  // a map of which 99 % lie below is hardly seen as scored

  const outline = (image) => {
    const [height, width] = image.size;
    const box = ([left, top, right, bottom]) => drawn("rect", {
      x: left, y: top, width: right - left, height: bottom - top, fill: "none", stroke: "#ffd400", "stroke-width": Math.max(width / 112, 1),
    });
    return drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "boxes", "aria-hidden": "true", preserveAspectRatio: "none" }, ...image.boxes.map(box));
  };
  /** Pictures on top of each other: input, map, mask and boxes; an empty text says nothing to a reader of the page. */
  const stackOf = (image, alt, map = null) => {
    const stack = make("span", { className: map && image.input ? "stack both" : "stack" });
    if (image.size && image.size[0]) stack.style.setProperty("--ratio", image.size[1] / image.size[0]);
    if (image.input) stack.append(make("img", { className: "input", src: source("webp", image.input), alt }));
    if (map) stack.append(map);
    if (image.mask) stack.append(make("img", { className: "mask", src: source("png", image.mask), alt: "" }));
    if (image.boxes && image.boxes.length) stack.append(outline(image));
    if (map) stack.append(make("i", { className: "cross", "aria-hidden": "true" }), make("span", { className: "at", "aria-hidden": "true" }));
    return stack;
  };

  /** By metric, the best value of an image among explainers that are no controls. */
  const bestOf = (index) => block().metrics.map((metric, m) => {
    const own = block().explainers.map((_, e) => (block().controls[e] ? null : page.valueAt(m, e, index))).filter((value) => value !== null);
    const best = Math.max(...own.map((value) => value * metric.direction)) * metric.direction;
    return metric.direction && own.some((value) => value !== best) ? best : null;
  });
  const valueRows = (index, e, best) => block().metrics.flatMap((metric, m) => {
    const status = page.statusAt(m, e, index), value = page.valueAt(m, e, index);
    if (!status) return [];
    const isBest = value !== null && value === best[m] && !block().controls[e];
    const row = make("tr", {}, make("th", { scope: "row", textContent: metric.name }), make("td", { className: isBest ? "best" : "", textContent: number(value, metric.unit) }));
    if (page.byValue() && m === state.metric && e === state.explainer) row.className = "chosen";
    return [row];
  });
  const values = (index, e, best) => {
    const rows = valueRows(index, e, best);
    const tableOf = (own) => make("table", {}, make("tbody", {}, ...own));
    if (rows.length <= AT_ONCE + 2) return [tableOf(rows)];
    return [tableOf(rows.slice(0, AT_ONCE)), make("details", {}, make("summary", { textContent: `${rows.length - AT_ONCE} more` }), tableOf(rows.slice(AT_ONCE)))];
  };
  const badges = (index, e) => {
    const found = new Set(block().metrics.map((_, m) => page.statusAt(m, e, index)).filter((status) => status && status !== "ok"));
    return [...found].map((status) => make("span", { className: status === "error" ? "badge bad" : "badge", textContent: status.replace("_", " ") }));
  };

  const stretchText = (top, on) => (on ? `stretched ×${number(1 / top)}, display only` : top < FAINT ? "as scored, faint" : "as scored");
  const stretchButton = (explainer, map, top) => {
    const button = make("button", { type: "button", className: "quiet stretch", "aria-label": `display of ${explainer}` });
    const show = () => {
      const on = state.stretched.has(explainer);
      button.textContent = stretchText(top, on);
      button.setAttribute("aria-pressed", String(on));
      button.setAttribute("aria-label", `${explainer}: ${button.textContent}`);
      if (on) map.dataset.top = top; else delete map.dataset.top;
    };
    button.addEventListener("click", () => { state.stretched[state.stretched.has(explainer) ? "delete" : "add"](explainer); show(); colour(); });
    show();
    return button;
  };
  const figure = (image, index, e, best) => {
    const explainer = block().explainers[e], stored = image.maps?.[block().model]?.[explainer];
    const map = stored ? make("img", { className: "map", src: source("webp", stored[0]), alt: page.describe(image, e) }) : null;
    map?.decode().then(() => { const own = page.levelsOf(map); if (own) map.alt = page.describe(image, e, page.whereLargest(own)); }, () => {});
    const name = make("div", { className: "name" }, make("b", { textContent: explainer }), block().controls[e] ? make("span", { className: "role", textContent: "control" }) : null);
    const line = make("div", { className: "state" }, map ? stretchButton(explainer, map, stored[1]) : make("span", { className: "note", textContent: "no map stored" }), ...badges(index, e));
    return make("figure", {}, map || image.input ? stackOf(image, "", map) : null,
      make("figcaption", {}, name, line, ...values(index, e, best)));
  };

  /** Reasons for the choice of an image, those of a kind together: worst ad: gradcam, hirescam. */
  const reasons = (why) => {
    const found = new Map();
    why.forEach((text) => {
      const [kind, ...names] = text.split(": ");
      found.set(kind, [...(found.get(kind) ?? []), ...(names.length ? [names.join(": ")] : [])]);
    });
    return [...found].map(([kind, names]) => (names.length ? `${kind}: ${names.join(", ")}` : kind));
  };
  const predicted = (image) => {
    const found = page.prediction(image);
    if (!found) return null;
    const right = page.isRight(image), sign = right === null ? "" : right ? "✓ right: " : "✗ wrong: ";
    return make("span", { className: right === false ? "badge bad" : right ? "badge good" : "badge", textContent: `${sign}predicted ${found[1] || found[0]} ${page.percent(found[2])}` });
  };
  /** All that is shown of an image. */
  const nodesOf = (index) => {
    const image = data.images[index], best = bestOf(index);
    const facts = make("p", { className: "facts" }, make("span", { className: "badge", textContent: page.className(image) }), predicted(image),
      ...reasons(image.why).map((text) => make("span", { className: "badge soft", textContent: text })));
    const input = image.input ? [make("figure", {}, stackOf(image, `input ${image.id}, ${page.className(image)}`), make("figcaption", {}, make("b", { textContent: "input" })))] : [];
    return [make("h3", { textContent: image.id }), facts, make("div", { className: "maps" }, ...input, ...block().explainers.map((_, e) => figure(image, index, e, best)))];
  };

  /** Colours, opacity, contrast and view of the maps that are shown; the pictures stay as they are. */
  const colour = () => {
    const table = data.colours[find("#colours-of").value], view = find("#view").value;
    all("filter .table").forEach((node) => [...node.children].forEach((channel, index) => channel.setAttribute("tableValues", table[index])));
    all("filter .range > *").forEach((channel) => channel.setAttribute("exponent", 2 ** -Number(find("#contrast").value)));
    find("#colours .alpha").setAttribute("values", `1 0 0 0 0  0 1 0 0 0  0 0 1 0 0  ${find("#opacity").value} 0 0 0 0`);
    const pressed = (name) => find(name).getAttribute("aria-pressed") === "true";
    const filter = view === "overlay" ? "url(#colours)" : "url(#colours-opaque)";
    all("#shown, #printed").forEach((part) => {
      for (const own of ["overlay", "map", "side"]) part.classList.toggle(`view-${own}`, own === view);
      part.classList.toggle("hide-boxes", !pressed("#boxes"));
      part.classList.toggle("hide-mask", !pressed("#mask"));
      part.style.setProperty("--tile", `${find("#size").value}px`);
      all(".map", part).forEach((map) => { map.style.filter = map.dataset.top ? `brightness(${1 / map.dataset.top}) ${filter}` : filter; });
    });
  };
  const drawImage = () => {
    const shown = find("#shown"), at = page.place.get(state.image), own = state.image;
    if (at === undefined) {
      shown.replaceChildren(make("p", { textContent: `The page does not hold the image ${own}; camdbench report --image-ids adds it.` }));
      return;
    }
    page.withDetails(data.images[at], () => {
      if (state.image !== own) return;
      shown.replaceChildren(...nodesOf(at));
      colour();
    });
  };

  const PRINTED = 16;
  const preparePrint = () => {
    const printed = find("#printed");
    if (printed.children.length) return;
    page.visible().slice(0, PRINTED).forEach((index) => {
      const sheet = make("div", { className: "sheet" });
      printed.append(sheet);
      page.withDetails(data.images[index], () => { sheet.replaceChildren(...nodesOf(index)); colour(); });
    });
  };
  const endPrint = () => find("#printed").replaceChildren();
  Object.assign(page, { drawImage, colour, preparePrint, endPrint });
})();
