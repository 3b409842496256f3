"use strict";
// The values of a map, read back from its grey picture: under the mouse in all maps at once, and in words for those who hear the page.
(() => {
  const page = window.camdbench;
  const { all, find } = page;
  const known = new WeakMap();

  /** Width, height and levels (0 to 255) of a map; null where the browser does not let a picture be read. */
  const levelsOf = (image) => {
    if (known.has(image)) return known.get(image);
    if (!image.complete || !image.naturalWidth) return null;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    let found = null;
    try {
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
      found = { width: canvas.width, height: canvas.height, levels: pixels.filter((_, index) => index % 4 === 0) };
    } catch { /* a file beside the page, which a page from disk may show but not read */ }
    known.set(image, found);
    return found;
  };

  /** Where the mean of a map is largest, of nine tiles. */
  const whereLargest = ({ width, height, levels }) => {
    const [sums, counts] = [new Float64Array(9), new Float64Array(9)];
    let [low, high] = [255, 0];
    levels.forEach((level, index) => {
      const tile = 3 * Math.floor((3 * Math.floor(index / width)) / height) + Math.floor((3 * (index % width)) / width);
      sums[tile] += level;
      counts[tile] += 1;
      [low, high] = [Math.min(low, level), Math.max(high, level)];
    });
    if (high - low < 3) return "constant";
    const means = [...sums].map((sum, tile) => sum / counts[tile]);
    const most = means.indexOf(Math.max(...means.filter(Number.isFinite)));
    const words = [["upper", "centre", "lower"][Math.floor(most / 3)], ["left", "", "right"][most % 3]];
    return `most salient ${words.filter(Boolean).join("-")}`;
  };

  /** Show the value at a place, in [0, 1] of width and height, in every map. */
  const showAt = (x, y) => {
    const shown = find("#shown");
    shown.classList.add("reading");
    shown.style.setProperty("--x", x);
    shown.style.setProperty("--y", y);
    all(".stack", shown).forEach((stack) => {
      const image = find(".map", stack), own = image && levelsOf(image);
      if (!own) return;
      const [column, row] = [Math.min(own.width - 1, Math.floor(x * own.width)), Math.min(own.height - 1, Math.floor(y * own.height))];
      find(".at", stack).textContent = (own.levels[row * own.width + column] / 255).toFixed(2);
    });
  };
  const readAt = (event) => {
    const stack = event.target.closest(".stack");
    if (!stack) { stopReading(); return; }
    const box = stack.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.height;
    const halves = find("#view").value === "side" && stack.classList.contains("both");
    showAt(Math.min(Math.max(halves ? (2 * across) % 1 : across, 0), 1), Math.min(Math.max(down, 0), 1));
  };
  const stopReading = () => find("#shown").classList.remove("reading");
  Object.assign(page, { levelsOf, whereLargest, readAt, stopReading });
})();
