"use strict";
// Details of images that are files beside the page: a script of them is added when one of its images is shown.
(() => {
  const { data } = window.camdbench;
  const waiting = new Map();

  /** What such a script calls: details of the images of a part, in their order, as JSON. */
  window.camdbenchPart = (number, text) => {
    const details = JSON.parse(text);
    data.images.filter((image) => image.part === number).forEach((image, at) => Object.assign(image, details[at], { part: undefined }));
    waiting.get(number)?.forEach((then) => then());
    waiting.delete(number);
  };
  /** Call `then` once the details of an image are here; at once if they are. */
  window.camdbench.withDetails = (image, then) => {
    if (image?.part === undefined) { then(); return; }
    const before = waiting.get(image.part);
    waiting.set(image.part, [...(before ?? []), then]);
    if (before) return;
    const script = document.createElement("script");
    script.src = `data/part-${String(image.part).padStart(3, "0")}.js`;
    document.body.append(script);
  };
})();
