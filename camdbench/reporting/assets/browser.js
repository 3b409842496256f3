"use strict";
// The browser of images: a list, an image, their controls, and the address that leads back to what is shown.
(() => {
  const page = window.camdbench;
  const { data, find, all, make, fill, source, copy, state, place, block } = page;
  if (!data.images.length || !data.blocks.length) return;
  const list = find("#list");

  // ---------------------------------------------------------------- the list
  const items = new Map();
  const item = (index) => {
    if (items.has(index)) return items.get(index);
    const image = data.images[index];
    const small = image.input ? make("img", { src: source("webp", image.input), alt: "", loading: "lazy", decoding: "async" }) : null;
    const button = make("button", { type: "button", tabIndex: -1, className: small ? "" : "bare" }, small, make("span", {}, image.id, make("small")));
    button.dataset.image = image.id;
    button.addEventListener("click", () => go(image.id));
    items.set(index, make("li", {}, button));
    return items.get(index);
  };
  const drawList = () => {
    const found = page.visible();
    list.replaceChildren(...found.map((index) => {
      const image = data.images[index], own = item(index), right = page.isRight(image);
      const facts = [right === null ? "" : right ? "✓" : "✗", image.class, page.scoreText(index)].filter(Boolean).join(" · ");
      find("small", own).textContent = facts;
      return own;
    }));
    if (!found.length) list.replaceChildren(make("li", { textContent: "No image fits these choices.", className: "note" }));
    mark();
  };
  const mark = () => {
    const found = page.visible(), at = found.indexOf(place.get(state.image));
    all("button", list).forEach((button, position) => {
      const own = button.dataset.image === state.image;
      button.tabIndex = own || (at < 0 && position === 0) ? 0 : -1;
      if (own) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
      if (!own) return;
      const [top, bottom] = [button.offsetTop, button.offsetTop + button.offsetHeight];  // scrollIntoView would move the page as well
      if (top < list.scrollTop || bottom > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
    });
    find("#position").textContent = at < 0 ? `${found.length} of ${data.images.length} images` : `${at + 1} of ${found.length}`;
    find("#previous").disabled = at === 0 || !found.length;
    find("#next").disabled = at === found.length - 1;
  };

  // ---------------------------------------------------------------- address
  const named = () => `${block().metrics[state.metric].name}:${block().explainers[state.explainer]}`;
  const write = () => {
    const parts = { image: state.image };
    if (page.byValue()) Object.assign(parts, { by: named(), dir: state.way });
    else if (state.way !== "id") parts.by = state.way;
    if (state.block) parts.model = state.block;
    const text = Object.entries(parts).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
    try { history.replaceState(null, "", `#${text}`); } catch { /* the frame of a notebook has no address */ }
  };
  const readOrder = (by, dir) => {
    const pairs = page.directed().flatMap(([m]) => block().explainers.map((name, e) => [`${block().metrics[m].name}:${name}`, Number(m), e]));
    const pair = (dir === "worst" || dir === "best") && pairs.find(([text]) => text === by);
    if (pair) Object.assign(state, { way: dir, metric: pair[1], explainer: pair[2] });
    else state.way = page.ways().some(([way]) => way === by) ? by : "id";
    showOrder();
  };
  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    if (!given.has("image")) return false;
    const chosen = Number(given.get("model") ?? 0);
    setBlock(chosen in data.blocks ? chosen : 0);
    if (given.has("by")) readOrder(given.get("by"), given.get("dir"));
    state.image = given.get("image");
    drawList();
    page.drawImage();
    return true;
  };
  const go = (image) => { state.image = image; page.drawImage(); mark(); write(); page.say(`${find("#position").textContent}: ${image}`); };
  const step = (by) => {
    const found = page.visible(), at = found.indexOf(place.get(state.image));
    const next = found[at < 0 ? 0 : Math.min(Math.max(at + by, 0), found.length - 1)];
    if (next !== undefined) go(data.images[next].id);
  };
  const goFirst = () => { const [first] = page.visible(); if (first !== undefined) go(data.images[first].id); };

  // ---------------------------------------------------------------- order and model
  const showOrder = () => {
    fill(find("#order"), page.ways());
    find("#order").value = state.way;
    find("#metric").value = String(state.metric);
    find("#explainer").value = String(state.explainer);
    all(".by-value").forEach((label) => { label.hidden = !page.byValue(); });
  };
  const setBlock = (chosen) => {
    const own = data.blocks[chosen];
    state.block = chosen;
    find("#model").value = String(chosen);
    const metrics = page.directed();
    fill(find("#metric"), metrics);
    fill(find("#explainer"), own.explainers.map((name, e) => [String(e), own.controls[e] ? `${name} (control)` : name]));
    if (!metrics.some(([m]) => Number(m) === state.metric)) state.metric = Number((metrics[0] ?? ["0"])[0]);
    if (!(state.explainer in own.explainers)) state.explainer = 0;
    if (!page.ways().some(([way]) => way === state.way)) state.way = "id";
    showOrder();
  };
  const onOrder = () => {
    Object.assign(state, { way: find("#order").value, metric: Number(find("#metric").value), explainer: Number(find("#explainer").value) });
    showOrder();
    drawList();
    goFirst();
  };

  // ---------------------------------------------------------------- controls
  const press = (button, then) => button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    then(on);
  });
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const command = () => `printf '%s\\n' ${quoted(state.image)} > image.txt && ${data.command} --image-ids image.txt`;
  const fillFilters = () => {
    fill(find("#model"), data.blocks.map((own, index) => [String(index), own.title]));
    find("#model").parentElement.hidden = data.blocks.length < 2;
    fill(find("#colours-of"), Object.keys(data.colours).map((name) => [name, name]));
    const classes = new Map(data.images.map((image) => [image.label, page.className(image)]));
    fill(find("#class"), [["", "all"], ...[...classes].sort((a, b) => a[0] - b[0]).map(([label, name]) => [String(label), name])]);
    const kinds = [...new Set(data.images.flatMap((image) => image.why))].filter((text) => !text.includes(": "));
    const known = data.images.some((image) => page.isRight(image) !== null);
    fill(find("#status"), [["", "all"], ["failed", "missing values or constant maps"], ...(known ? [["right", "right predictions"], ["wrong", "wrong predictions"]] : []),
      ...kinds.map((text) => [text, `chosen: ${text}`])]);
    ["#boxes", "#mask"].forEach((name) => { find(name).hidden = !data.images.some((image) => image.part !== undefined || (name === "#mask" ? image.mask : (image.boxes ?? []).length)); });
    find("#views").hidden = !data.images.some((image) => image.part !== undefined || image.input || Object.keys(image.maps ?? {}).length);
    find("#command").hidden = !data.command;
  };
  const onFilter = () => {
    Object.assign(state, { status: find("#status").value, label: find("#class").value, text: find("#find").value.trim().toLowerCase() });
    drawList();
  };
  const onList = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
    find('button[aria-current="true"]', list)?.focus({ preventScroll: true });
  };
  const listen = () => {
    find("#model").addEventListener("change", (event) => { setBlock(Number(event.target.value)); drawList(); page.drawImage(); write(); });
    ["#order", "#metric", "#explainer"].forEach((name) => find(name).addEventListener("change", onOrder));
    ["#class", "#status", "#find"].forEach((name) => find(name).addEventListener("input", onFilter));
    ["#view", "#colours-of", "#opacity", "#contrast", "#size"].forEach((name) => find(name).addEventListener("input", page.colour));
    ["#boxes", "#mask"].forEach((name) => press(find(name), page.colour));
    press(find("#stretch"), (on) => { state.stretched = new Set(on ? data.blocks.flatMap((own) => own.explainers) : []); page.drawImage(); });
    if (find("#common")) press(find("#common"), (on) => { state.common = on; drawList(); });
    find("#link").addEventListener("click", (event) => { write(); copy(location.href, event.currentTarget); });
    find("#command").addEventListener("click", (event) => copy(command(), event.currentTarget));
    find("#previous").addEventListener("click", () => step(-1));
    find("#next").addEventListener("click", () => step(1));
    list.addEventListener("keydown", onList);
    find("#shown").addEventListener("pointermove", page.readAt);
    find("#shown").addEventListener("pointerleave", page.stopReading);
  };
  fillFilters();
  setBlock(0);
  listen();
  drawList();
  addEventListener("hashchange", () => { if (read()) find("#images").scrollIntoView(); });
  page.openAddress = () => { if (read()) find("#images").scrollIntoView(); else page.drawImage(); };

  const cycle = (select) => {
    select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
    select.dispatchEvent(new Event(select.id === "order" ? "change" : "input", { bubbles: true }));
  };
  page.keys = {
    j: () => step(1), k: () => step(-1), s: () => cycle(find("#order")), c: () => cycle(find("#view")), d: () => find("#stretch").click(),
    b: () => find("#boxes").click(), m: () => find("#mask").click(), "/": () => find("#find").focus(),
    o: () => { const slider = find("#opacity"); slider.value = (Number(slider.value) + 0.25) % 1.25; page.colour(); },
  };
})();
