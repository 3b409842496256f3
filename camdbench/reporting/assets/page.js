"use strict";
// What belongs to the page as a whole: theme, print, help, keys and the section that is read.
(() => {
  const page = window.camdbench;
  const { data, find, all, make } = page;
  const root = document.documentElement;

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const nameTheme = () => { find("#theme").textContent = isDark() ? "Light theme" : "Dark theme"; };
  find("#theme").addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
  dark.addEventListener("change", nameTheme);
  nameTheme();

  const keys = find("#keys"), help = () => keys.showModal();
  find("#help").addEventListener("click", help);
  const writes = (node) => node.matches("select, textarea, input:not([type=range])");
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (writes(event.target)) { if (event.key === "Escape") event.target.blur(); return; }
    const action = event.key === "?" ? help : Object.hasOwn(page.keys ?? {}, event.key) ? page.keys[event.key] : null;
    if (action) { event.preventDefault(); action(); }
  });

  all("button.copy").forEach((button) => button.addEventListener("click", () => {
    const { table, form } = button.dataset;
    page.copy(form ? data.copies[table][form] : find("pre", button.closest(".again")).textContent, button);
  }));

  // ---------------------------------------------------------------- print: all is unfolded, with the first images of the list
  let folded = [];
  const before = () => {
    if (!folded.length) folded = all("details:not([open])");
    folded.forEach((node) => { node.open = true; });
    if (page.keys) page.preparePrint();
  };
  const after = () => { folded.forEach((node) => { node.open = false; }); folded = []; if (page.keys) page.endPrint(); };
  addEventListener("beforeprint", before);
  addEventListener("afterprint", after);
  matchMedia("print").addEventListener("change", (event) => (event.matches ? before() : after()));
  find("#print").addEventListener("click", async () => {
    before();
    await Promise.allSettled(all("#printed img").map((image) => image.decode()));
    print();
  });

  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    links.forEach((link, name) => { if (name === target.id) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current"); });
  }), { rootMargin: "-20% 0px -75% 0px" });
  all("main > section").forEach((section) => seen.observe(section));

  if (data.blocks.length && window.camdbenchCharts) window.camdbenchCharts(data);
  if (!data.images.length && find("#images")) find("#images").append(make("p", { textContent: "There is no image to show." }));
  page.openAddress?.();  // last: charts above the images move them
})();
