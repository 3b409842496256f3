"use strict";
// What is known of the images, and in which order they are listed; nothing here draws.
(() => {
  const page = window.camdbench;
  const { data, number } = page;
  const OK = data.statuses.indexOf("ok");
  const state = {
    block: 0, way: "id", metric: 0, explainer: 0, image: data.images.length ? data.images[0].id : "",
    status: "", label: "", text: "", common: false, stretched: new Set(),
  };
  const place = new Map(data.images.map((image, index) => [image.id, index]));
  const block = () => data.blocks[state.block];
  const valueAt = (m, e, index) => block().values[m][e][index];
  const statusAt = (m, e, index) => data.statuses[block().status[m][e][index]];

  /** Metrics by which images can be ordered from worst to best: positions and names. */
  const directed = () => block().metrics.flatMap((metric, m) => (metric.direction ? [[String(m), metric.name]] : []));
  const ways = () => [
    ["id", "as in the data set"],
    ...(directed().length ? [["worst", "worst first"], ["best", "best first"]] : []),
    ["disagreement", "disagreement of explainers"],
    ["status", "most missing values"],
    ...(data.images.some((image) => Number.isFinite(image.moved)) ? [["moved", "difference between runs"]] : []),
  ];
  const byValue = () => state.way === "worst" || state.way === "best";

  /** The number of values that are missing or of constant maps; controls are left out. */
  const missing = (index) => {
    const own = block();
    return own.status.reduce((sum, metric) => sum + metric.filter((explainer, e) => !own.controls[e] && explainer[index] > OK).length, 0);
  };
  const prediction = (image) => image.predictions?.[block().model] ?? null;  // class index, name, probability
  const isRight = (image) => { const found = prediction(image); return found && image.label >= 0 ? found[0] === image.label : null; };

  const score = (index) => {
    const image = data.images[index];
    switch (state.way) {
      case "disagreement": return -(image.disagreement ?? -1);
      case "status": return -missing(index);
      case "moved": return -(image.moved ?? -1);
      case "worst": case "best": {
        const value = valueAt(state.metric, state.explainer, index);
        return value === null ? Infinity : value * block().metrics[state.metric].direction * (state.way === "worst" ? 1 : -1);
      }
      default: return index;
    }
  };
  /** What the list says beside an image about its order. */
  const scoreText = (index) => {
    const image = data.images[index];
    switch (state.way) {
      case "disagreement": return typeof image.disagreement === "number" ? `disagreement ${number(image.disagreement)}` : "";
      case "status": return missing(index) ? `${missing(index)} missing or constant` : "";
      case "moved": return typeof image.moved === "number" ? `moved by ${number(image.moved)}` : "";
      case "worst": case "best": {
        const metric = block().metrics[state.metric];
        return `${metric.name} ${number(valueAt(state.metric, state.explainer, index), metric.unit)}`;
      }
      default: return "";
    }
  };
  const fits = (index) => {
    const image = data.images[index];
    const byStatus = { "": true, failed: missing(index) > 0, right: isRight(image) === true, wrong: isRight(image) === false };
    return (!state.common || image.common) && (byStatus[state.status] ?? image.why.includes(state.status))
      && (state.label === "" || String(image.label) === state.label) && image.id.toLowerCase().includes(state.text);
  };
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);  // the difference of two infinities is NaN
  const visible = () => {
    const found = data.images.map((_, index) => index).filter(fits);
    const scores = new Map(found.map((index) => [index, score(index)]));
    return found.sort((one, two) => compare(scores.get(one), scores.get(two)) || one - two);
  };

  const className = (image) => image.class || (image.label >= 0 ? `class ${image.label}` : "no label");
  const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.1 ? 1 : 0)} %`;
  /** A map in words: explainer, image, class, prediction, first value, where the map is largest. */
  const describe = (image, e, where = "") => {
    const own = block(), found = prediction(image), index = place.get(image.id);
    const m = byValue() ? state.metric : 0, metric = own.metrics[m];
    return [
      own.explainers[e], image.id,
      image.class ? `class ${image.class}` : "", found ? `predicted ${found[1] || found[0]} ${percent(found[2])}` : "",
    ].filter(Boolean).join(", ") + (metric ? `: ${metric.name} ${number(valueAt(m, e, index), metric.unit)}` : "") + (where ? `, ${where}` : "");
  };
  Object.assign(page, {
    state, place, block, valueAt, statusAt, directed, ways, byValue, prediction, isRight, scoreText, visible, className, percent, describe,
  });
})();
