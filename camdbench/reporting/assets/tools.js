"use strict";
// What the scripts of the page share. Names and messages of a run enter the page as text alone.
window.camdbench = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector, at = document) => at.querySelector(selector);
  const all = (selector, at = document) => [...at.querySelectorAll(selector)];

  /** An element with properties or attributes, and with nodes or texts inside; empty ones are left out. */
  const make = (tag, facts = {}, ...inside) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(facts)) {
      if (name in node) node[name] = value; else node.setAttribute(name, value);
    }
    node.append(...inside.filter((one) => one !== null && one !== ""));
    return node;
  };
  const drawn = (tag, facts, ...inside) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(facts)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  };
  const fill = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => make("option", { value, textContent: text })));

  /** The address of a picture: base64 has no dot, the name of a file has one. */
  const source = (kind, text) => (text.includes(".") ? text : `data:image/${kind};base64,${text}`);
  const number = (value, unit) => (value === null ? "—" : unit === "%" ? value.toFixed(1) : String(Number(value.toPrecision(3))));
  const say = (text) => { find("#said").textContent = text; };

  const copyBySelection = (text) => {
    const area = make("textarea", { value: text, className: "aside" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  /** Copy a text, and say so on the button; where the browser forbids it, show the text. */
  const copy = async (text, button) => {
    const before = button.dataset.name ?? (button.dataset.name = button.textContent);
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch { done = copyBySelection(text); }
    button.textContent = done ? "Copied" : before;
    say(done ? "Copied." : text);
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  document.documentElement.classList.add("scripted");
  return { data, find, all, make, drawn, fill, source, number, say, copy };
})();
