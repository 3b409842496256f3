"use strict";
// The page of a run: tables that sort, and a browser of its images. Foreign text enters through textContent alone.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector, at = document) => at.querySelector(selector);
  const all = (selector, at = document) => [...at.querySelectorAll(selector)];
  const make = (tag, facts = {}, ...inside) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(facts)) {
      if (name in node && name !== "list") node[name] = value; else node.setAttribute(name, value);
    }
    node.append(...inside);
    return node;
  };
  const picture = (kind, text) => `data:image/${kind};base64,${text}`;
  document.documentElement.classList.add("scripted");

  // ---------------------------------------------------------------- tables
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent;
    return column === 0 ? cell.textContent.trim().toLowerCase() : Number(text);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const sortBy = (table, column, direction) => {
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("fixed"));
      rows.sort((one, two) => {
        const [a, b] = [valueOf(one, column), valueOf(two, column)];
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return direction === "ascending" ? compare(a, b) : compare(b, a);
      });
      body.append(...rows);
    }
    all("th[aria-sort]", table).forEach((head) => head.removeAttribute("aria-sort"));
    table.tHead.rows[0].cells[column].setAttribute("aria-sort", direction);
  };
  all("table.sortable").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.best || (column ? "descending" : "ascending");
        const other = first === "ascending" ? "descending" : "ascending";
        sortBy(table, column, head.getAttribute("aria-sort") === first ? other : first);
      });
    });
  });

  // ---------------------------------------------------------------- theme, print, help
  const root = document.documentElement;
  find("#theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  find("#print").addEventListener("click", () => print());
  const keys = find("#keys");
  find("#help").addEventListener("click", () => keys.showModal());

  // ---------------------------------------------------------------- images: what is shown
  const state = { block: 0, order: "id", image: data.images.length ? data.images[0].id : "", stretched: false };
  const place = new Map(data.images.map((image, index) => [image.id, index]));
  const block = () => data.blocks[state.block];
  const option = (value, text) => make("option", { value, textContent: text });
  const fill = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => option(value, text)));
  const valueAt = (metric, explainer, index) => block().values[metric][explainer][index];
  const orders = () => {
    const found = [["id", "as in the data set"], ["disagreement", "disagreement of explainers"]];
    block().metrics.forEach((metric, m) => metric.direction && block().explainers.forEach((explainer, e) => {
      if (block().controls[e]) return;
      found.push([`worst:${m}:${e}`, `worst ${metric.name}: ${explainer}`], [`best:${m}:${e}`, `best ${metric.name}: ${explainer}`]);
    }));
    return found;
  };
  const score = (index) => {
    const [way, m, e] = state.order.split(":");
    if (way === "id") return index;
    if (way === "disagreement") return -(data.images[index].disagreement ?? -1);
    const value = valueAt(m, e, index);
    return value === null ? Infinity : value * block().metrics[m].direction * (way === "worst" ? 1 : -1);
  };
  const isFailed = (index) => block().status.some((metric) => metric.some((explainer) => explainer[index] > 1));
  const visible = () => {
    const [status, cls, text] = [find("#status").value, find("#class").value, find("#find").value.trim().toLowerCase()];
    return data.images.map((_, index) => index).filter((index) => {
      const image = data.images[index];
      return (!status || (status === "failed" ? isFailed(index) : image.why.includes(status)))
        && (cls === "" || String(image.label) === cls) && (!text || image.id.toLowerCase().includes(text));
    }).sort((one, two) => score(one) - score(two) || one - two);
  };

  // ---------------------------------------------------------------- images: the list
  const list = find("#list");
  const number = (value, unit) => (value === null ? "—" : unit === "%" ? value.toFixed(1) : String(Number(value.toPrecision(3))));
  const byOrder = (index) => {
    const [way, m, e] = state.order.split(":");
    if (way === "id") return "";
    if (way === "disagreement") return data.images[index].disagreement === null ? "" : `disagreement ${data.images[index].disagreement}`;
    return `${block().metrics[m].name} ${number(valueAt(m, e, index), block().metrics[m].unit)}`;
  };
  const drawList = () => {
    const found = visible();
    list.replaceChildren(...found.map((index) => {
      const image = data.images[index];
      const small = image.input ? make("img", { src: picture("webp", image.input), alt: "", loading: "lazy" }) : make("span");
      const lines = make("span", {}, image.id, make("small", { textContent: [image.class, byOrder(index)].filter(Boolean).join(" · ") }));
      const button = make("button", { type: "button" }, small, lines);
      button.dataset.image = image.id;
      button.addEventListener("click", () => go(image.id));
      return make("li", {}, button);
    }));
    if (!found.length) list.replaceChildren(make("li", { textContent: "No image fits these choices.", className: "note" }));
    mark();
  };
  const mark = () => all("button", list).forEach((button) => {
    const own = button.dataset.image === state.image;
    if (!own) { button.removeAttribute("aria-current"); return; }
    button.setAttribute("aria-current", "true");
    const [top, bottom] = [button.offsetTop, button.offsetTop + button.offsetHeight];  // scrollIntoView would move the page as well
    if (top < list.scrollTop || bottom > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
  });

  // ---------------------------------------------------------------- images: one of them
  const shown = find("#shown");
  const outline = (image) => {
    const [height, width] = image.size;
    const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("class", "boxes");
    drawing.setAttribute("aria-hidden", "true");
    for (const [left, top, right, bottom] of image.boxes) {
      const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) box.setAttribute(name, value);
      box.setAttribute("fill", "none");
      box.setAttribute("stroke", "#ffd400");
      box.setAttribute("stroke-width", Math.max(width / 112, 1));
      drawing.append(box);
    }
    return drawing;
  };
  const layers = (image, alt) => {
    const stack = make("span", { className: "stack" });
    if (image.size && image.size[0]) stack.style.aspectRatio = `${image.size[1]} / ${image.size[0]}`;
    if (image.input) stack.append(make("img", { className: "input", src: picture("webp", image.input), alt }));
    return stack;
  };
  const annotate = (stack, image) => {
    if (image.mask) stack.append(make("img", { className: "mask", src: picture("png", image.mask), alt: "" }));
    if (image.boxes && image.boxes.length) stack.append(outline(image));
    return stack;
  };
  const values = (index, e) => {
    const table = make("table");
    const reasons = new Set();
    block().metrics.forEach((metric, m) => {
      const status = data.statuses[block().status[m][e][index]];
      if (!status) return;
      if (status !== "ok") reasons.add(status.replace("_", " "));
      table.append(make("tr", {}, make("th", { textContent: metric.name, scope: "row" }), make("td", { textContent: number(valueAt(m, e, index), metric.unit) })));
    });
    return [make("span", {}, ...[...reasons].map((text) => make("span", { className: text === "error" ? "badge bad" : "badge", textContent: text }))), table];
  };
  const describe = (image, explainer) => `${explainer}, ${image.id}${image.class ? `, class ${image.class}` : ""}`;
  const figure = (image, index, explainer, e) => {
    const stack = layers(image, "");
    const map = image.maps && image.maps[block().model] && image.maps[block().model][explainer];
    if (map) {
      const own = make("img", { className: "map", src: picture("webp", map[0]), alt: `map of ${describe(image, explainer)}` });
      if (state.stretched) own.dataset.top = map[1];
      stack.append(own);
    }
    annotate(stack, image);
    const name = make("b", { textContent: explainer });
    const [badges, table] = values(index, e);
    return make("figure", {}, ...(map || image.input ? [stack] : []), make("figcaption", {}, name, block().controls[e] ? " (control)" : "", " ", badges, table));
  };
  const reasons = (why) => {  // worst ad: gradcam, hirescam
    const found = new Map();
    why.forEach((text) => { const [kind, ...names] = text.split(": "); found.set(kind, [...(found.get(kind) ?? []), ...(names.length ? [names.join(": ")] : [])]); });
    return [...found].map(([kind, names]) => (names.length ? `${kind}: ${names.join(", ")}` : kind));
  };
  const drawImage = () => {
    if (!place.has(state.image)) { shown.replaceChildren(make("p", { textContent: "No image is chosen." })); return; }
    const index = place.get(state.image), image = data.images[index];
    const head = make("h3", { textContent: image.id });
    const facts = make("p", { className: "note" }, image.class ? `class ${image.class}` : image.label >= 0 ? `class ${image.label}` : "no label", " ",
      ...reasons(image.why).map((text) => make("span", { className: "badge", textContent: text })));
    const maps = make("div", { className: "maps" });
    if (image.input) maps.append(make("figure", {}, annotate(layers(image, `input ${image.id}`), image), make("figcaption", {}, make("b", { textContent: "input" }))));
    block().explainers.forEach((explainer, e) => maps.append(figure(image, index, explainer, e)));
    shown.replaceChildren(head, facts, maps);
    colour();
    mark();
  };
  const colour = () => {
    const table = data.colours[find("#colours-of").value];
    all("filter .table").forEach((node) => [...node.children].forEach((channel, index) => channel.setAttribute("tableValues", table[index])));
    find("#colours .alpha").setAttribute("values", `1 0 0 0 0  0 1 0 0 0  0 0 1 0 0  ${find("#opacity").value} 0 0 0 0`);
    const view = find("#view").value;
    shown.className = `view-${view}${find("#boxes").getAttribute("aria-pressed") === "true" ? "" : " hide-boxes"}${find("#mask").getAttribute("aria-pressed") === "true" ? "" : " hide-mask"}`;
    const filter = view === "overlay" ? "url(#colours)" : "url(#colours-opaque)";
    all(".map", shown).forEach((map) => { map.style.filter = map.dataset.top ? `brightness(${1 / map.dataset.top}) ${filter}` : filter; });
  };

  // ---------------------------------------------------------------- address
  const write = () => {
    const parts = [`image=${encodeURIComponent(state.image)}`];
    if (state.order !== "id") parts.push(`by=${encodeURIComponent(find("#order").selectedOptions[0].textContent)}`);
    if (state.block) parts.push(`model=${state.block}`);
    history.replaceState(null, "", `#${parts.join("&")}`);
  };
  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    if (!given.has("image")) return false;
    const chosen = Number(given.get("model") ?? 0);
    if (chosen in data.blocks) setBlock(chosen);
    const order = [...find("#order").options].find((one) => one.textContent === given.get("by"));
    if (order) { find("#order").value = order.value; state.order = order.value; }
    if (place.has(given.get("image"))) state.image = given.get("image");
    drawList();
    drawImage();
    return true;
  };
  const go = (image) => { state.image = image; drawImage(); write(); };
  const step = (by) => {
    const found = visible(), at = found.indexOf(place.get(state.image));
    const next = found[Math.min(Math.max(at + by, 0), found.length - 1)];
    if (next !== undefined) go(data.images[next].id);
  };
  const setBlock = (chosen) => {
    state.block = chosen;
    find("#model").value = String(chosen);
    const before = state.order;
    fill(find("#order"), orders());
    state.order = [...find("#order").options].some((one) => one.value === before) ? before : "id";
    find("#order").value = state.order;
  };

  // ---------------------------------------------------------------- controls
  const press = (button, then) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    then(button.getAttribute("aria-pressed") === "true");
  });
  const start = () => {
    if (!data.images.length) { find("#images").append(make("p", { textContent: "There is no image to show." })); return; }
    fill(find("#model"), data.blocks.map((own, index) => [String(index), own.title]));
    fill(find("#colours-of"), Object.keys(data.colours).map((name) => [name, name]));
    const classes = new Map(data.images.map((image) => [image.label, image.class || `class ${image.label}`]));
    fill(find("#class"), [["", "all"], ...[...classes].sort((a, b) => a[0] - b[0]).map(([label, name]) => [String(label), name])]);
    const kinds = [...new Set(data.images.flatMap((image) => image.why))].filter((text) => !text.includes(": "));
    fill(find("#status"), [["", "all"], ["failed", "with missing values or constant maps"], ...kinds.map((text) => [text, `chosen: ${text}`])]);
    setBlock(0);
    find("#model").addEventListener("change", (event) => { setBlock(Number(event.target.value)); drawList(); drawImage(); write(); });
    find("#order").addEventListener("change", (event) => { state.order = event.target.value; drawList(); const first = visible()[0]; if (first !== undefined) go(data.images[first].id); });
    ["#class", "#status", "#find"].forEach((name) => find(name).addEventListener("input", drawList));
    ["#view", "#colours-of", "#opacity"].forEach((name) => find(name).addEventListener("input", colour));
    ["#boxes", "#mask"].forEach((name) => press(find(name), colour));
    press(find("#stretch"), (on) => { state.stretched = on; find("#stretch").textContent = on ? "stretched, display only" : "as scored"; drawImage(); });
    find("#link").addEventListener("click", () => { write(); navigator.clipboard?.writeText(location.href); });
    drawList();
    if (read()) find("#images").scrollIntoView(); else drawImage();
    addEventListener("hashchange", () => { if (read()) find("#images").scrollIntoView(); });
  };
  const cycle = (select) => {
    select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
    select.dispatchEvent(new Event(select.id === "order" ? "change" : "input", { bubbles: true }));
  };
  const actions = {
    j: () => step(1), k: () => step(-1), s: () => cycle(find("#order")), c: () => cycle(find("#view")), d: () => find("#stretch").click(),
    b: () => find("#boxes").click(), m: () => find("#mask").click(), "/": () => find("#find").focus(), "?": () => keys.showModal(),
    o: () => { const slider = find("#opacity"); slider.value = (Number(slider.value) + 0.25) % 1.25; colour(); },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open || ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
    const action = actions[event.key];
    if (action && data.images.length) { event.preventDefault(); action(); }
  });
  addEventListener("beforeprint", () => all("details").forEach((node) => { node.open = true; }));
  window.camdbenchCharts?.(data);
  start();
})();
