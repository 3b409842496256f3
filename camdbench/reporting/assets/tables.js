"use strict";
// Tables that sort by a click on a heading: the best first, then the reverse, then as before. Rows stay in their body, missing values last.
(() => {
  const { all, make } = window.camdbench;
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (column === 0) return (cell.querySelector("a") ?? cell).textContent.trim().toLowerCase();
    return Number(cell.dataset.value ?? (cell.textContent || NaN));
  };
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const inOrder = (rows, column, direction) => rows.toSorted((one, two) => {
    const [a, b] = [valueOf(one, column), valueOf(two, column)];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return direction === "ascending" ? compare(a, b) : compare(b, a);
  });

  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const before = [...table.tBodies].map((body) => [body, [...body.rows].filter((row) => !row.classList.contains("fixed"))]);
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      const first = head.dataset.best || (column ? "descending" : "ascending");
      const next = { [first]: first === "ascending" ? "descending" : "ascending", none: first };
      button.addEventListener("click", () => {
        const direction = next[head.getAttribute("aria-sort") ?? "none"] ?? "none";
        before.forEach(([body, rows]) => body.append(...(direction === "none" ? rows : inOrder(rows, column, direction))));
        heads.forEach((own) => own.removeAttribute("aria-sort"));
        if (direction !== "none") head.setAttribute("aria-sort", direction);
      });
    });
  };
  all("table.sortable").forEach(sortable);
})();
