// How answers about pictures are drawn: boxes on the picture, and a list of the objects. Data is always inserted as text.
"use strict";

window.rhPictures = (() => {
  const { element, onlyHere, scoreText } = window.rhAnswers;
  const SVG = "http://www.w3.org/2000/svg";
  const MOST_OBJECTS = 500; // drawn; the rest is only in the JSON
  const TAG = { height: 18, padding: 5, baseline: 13, font: "600 12px system-ui, sans-serif" }; // in pixels of the screen
  const LONGEST_TAG = 24; // characters of a label
  const HUE_STEP = 137.5; // neighbours in the order of hues are far apart, however many there are
  const KINDS = { iVBORw: "png", "/9j/": "jpeg", UklGR: "webp", R0lGOD: "gif" }; // how files begin, in base64
  const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

  // The file of a picture in base64, or of a data URL; null if it is neither.
  function fileOf(text, name) {
    const base64 = String(text).replace(/^data:[^,]*,/, "");
    const kind = Object.keys(KINDS).find((start) => base64.startsWith(start));
    try {
      const bytes = Uint8Array.from(atob(base64), (unit) => unit.charCodeAt(0));
      return kind ? new File([bytes], `${name}.${KINDS[kind]}`, { type: `image/${KINDS[kind]}` }) : null;
    } catch {
      return null;
    }
  }

  const hues = new Map(); // by label, for the whole page

  function hueOf(label) {
    if (!hues.has(label)) hues.set(label, (25 + hues.size * HUE_STEP) % 360);
    return hues.get(label);
  }

  function shape(tag, name, attributes = {}) {
    const made = document.createElementNS(SVG, tag);
    if (name) made.setAttribute("class", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  const pen = document.createElement("canvas").getContext("2d");

  function widthOf(text) {
    pen.font = TAG.font;
    return Math.ceil(pen.measureText(text).width) + 2 * TAG.padding;
  }

  const shortened = (label) => (label.length > LONGEST_TAG ? `${label.slice(0, LONGEST_TAG - 1)}…` : label);

  // One object: its box and its tag on the picture, and its line in the list.
  function drawObject({ label, confidence, box }, isOnlyHere) {
    const { x1, y1, x2, y2 } = box;
    const place = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
    const name = isOnlyHere ? "rh-box rh-box-alone" : "rh-box";
    const outline = shape("g", name);
    outline.append(shape("rect", "rh-box-edge", place), shape("rect", "rh-box-line", place));
    const text = `${shortened(label)} ${scoreText(confidence)}`;
    const width = widthOf(text);
    const words = shape("text", "", { x: TAG.padding, y: TAG.baseline });
    words.textContent = text;
    const tag = shape("g", "rh-tag");
    tag.append(shape("rect", "", { width, height: TAG.height, rx: 3 }), words);
    const line = element("li", "rh-object");
    const sides = `${Math.round(place.width)} × ${Math.round(place.height)} at ${Math.round(x1)}, ${Math.round(y1)}`;
    const title = element("span", "", label);
    if (isOnlyHere) title.append(onlyHere());
    line.append(element("i"), title, element("span", "rh-number", scoreText(confidence)), element("small", "", sides));
    line.setAttribute("role", "option");
    for (const part of [outline, tag, line]) part.style.setProperty("--rh-hue", hueOf(label));
    return { box, confidence, outline, tag, line, width, isShown: true };
  }

  // Where a tag may be, best first: above the box, inside it, below it; from its left edge or to its right one.
  function* placesOf({ x1, y1, x2, y2 }, width, height, picture) {
    for (const y of [y1 - height, y1, y2, y2 - height]) {
      for (const x of [x1, x2 - width]) {
        yield {
          x: Math.max(0, Math.min(x, picture.width - width)),
          y: Math.max(0, Math.min(y, picture.height - height)),
        };
      }
    }
  }

  // Puts each tag where it covers no other, the best objects first. One that fits nowhere is seen when its object is chosen.
  function placeTags(objects, picture, perPixel) {
    const taken = [];
    for (const { box, tag, width, isShown } of objects) {
      if (!isShown) continue;
      const [across, down] = [width * perPixel, TAG.height * perPixel];
      const isFree = ({ x, y }) =>
        !taken.some((one) => x < one.x + one.across && one.x < x + across && y < one.y + one.down && one.y < y + down);
      const places = [...placesOf(box, across, down, picture)];
      const found = places.find(isFree);
      if (found) taken.push({ ...found, across, down });
      const { x, y } = found ?? places[0];
      tag.setAttribute("transform", `translate(${x} ${y}) scale(${perPixel})`);
      tag.classList.toggle("rh-tag-covered", !found);
    }
  }

  async function drawFirstFrame(canvas, file) {
    const bitmap = await createImageBitmap(file);
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  // The picture in the size that the answer counts in; without `file`, the boxes are drawn alone.
  function frameOf(answer, file) {
    const frame = element("div", "rh-frame");
    frame.style.setProperty("--rh-across", `${answer.width}px`);
    frame.style.setProperty("--rh-ratio", answer.width / answer.height);
    if (file && answer.frames > 1) {
      const canvas = element("canvas");
      drawFirstFrame(canvas, file).catch(() => {}); // a file that the browser cannot read: the boxes are drawn without it
      frame.append(canvas);
    } else if (file) {
      const shown = element("img");
      shown.alt = "";
      shown.src = URL.createObjectURL(file);
      shown.addEventListener("load", () => URL.revokeObjectURL(shown.src), { once: true });
      shown.addEventListener("error", () => shown.remove(), { once: true });
      frame.append(shown);
    }
    return frame;
  }

  // What is worth knowing about how a picture was read.
  function notesOn(answer, file) {
    const notes = [];
    if (answer.frames > 1) notes.push(`The picture has ${answer.frames} frames; the model read the first.`);
    if (!file) notes.push("The picture itself is not on this page.");
    if (answer.objects?.length > MOST_OBJECTS) {
      notes.push(`The ${MOST_OBJECTS} best of ${answer.objects.length.toLocaleString("en")} objects are drawn; the JSON has all.`);
    }
    return notes.map((note) => element("p", "rh-note", note));
  }

  const countOf = (shown, all) => {
    if (!all) return "No objects found.";
    return shown === all ? `${all} object${all === 1 ? "" : "s"}` : `${shown} of ${all} objects`;
  };

  // `alone`: positions of the objects that only this answer has, when two are compared.
  function annotated(answer, file, alone = new Set()) {
    const objects = answer.objects.slice(0, MOST_OBJECTS).map((object, at) => drawObject(object, alone.has(at)));
    const block = element("div", "rh-annotated");
    const frame = frameOf(answer, file);
    const boxes = shape("svg", "rh-boxes", { viewBox: `0 0 ${answer.width} ${answer.height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const bySize = [...objects].sort((one, other) => areaOf(other.box) - areaOf(one.box)); // small boxes stay within reach
    boxes.append(...bySize.map(({ outline }) => outline), ...objects.map(({ tag }) => tag));
    frame.append(boxes);
    const list = element("ul", "rh-objects");
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Objects, the surest first");
    list.append(...objects.map(({ line }) => line));
    const count = element("p", "rh-object-count");
    count.setAttribute("role", "status");
    block.append(frame, ...notesOn(answer, file), count, ...(objects.length ? [list] : []));

    const arrange = () => frame.clientWidth && placeTags(objects, answer, answer.width / frame.clientWidth);
    new ResizeObserver(arrange).observe(frame);
    letChoose(objects, boxes, list);

    function showAtLeast(share) {
      for (const object of objects) {
        object.isShown = object.confidence >= share;
        for (const part of [object.outline, object.tag, object.line]) part.toggleAttribute("hidden", !object.isShown);
      }
      list.hidden = !objects.some(({ isShown }) => isShown);
      count.textContent = countOf(objects.filter(({ isShown }) => isShown).length, objects.length);
      makeReachable(objects);
      arrange();
    }
    showAtLeast(0);
    return { block, showAtLeast };
  }

  const areaOf = ({ x1, y1, x2, y2 }) => (x2 - x1) * (y2 - y1);

  // The list is one stop of the Tab key; arrow keys move in it.
  function makeReachable(objects, line = objects.find(({ isShown }) => isShown)?.line) {
    for (const object of objects) object.line.tabIndex = object.line === line ? 0 : -1;
  }

  // Pointing at an object, in the list or in the picture, or focusing its line, highlights its box.
  function letChoose(objects, boxes, list) {
    function choose(chosen) {
      boxes.toggleAttribute("data-lit", Boolean(chosen));
      for (const object of objects) {
        for (const part of [object.outline, object.tag, object.line]) part.classList.toggle("rh-lit", object === chosen);
        object.line.setAttribute("aria-selected", object === chosen);
      }
    }
    const focused = () => objects.find(({ line }) => line === document.activeElement);
    for (const object of objects) {
      for (const part of [object.outline, object.line]) {
        part.addEventListener("pointerenter", () => choose(object));
        part.addEventListener("pointerleave", () => choose(focused()));
      }
      object.outline.addEventListener("click", () => object.line.focus());
      object.line.addEventListener("focus", () => {
        makeReachable(objects, object.line);
        choose(object);
      });
      object.line.addEventListener("blur", () => choose());
    }
    list.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS)) return;
      event.preventDefault();
      const lines = objects.filter(({ isShown }) => isShown).map(({ line }) => line);
      const next = lines.indexOf(document.activeElement) + STEPS[event.key];
      lines[Math.max(0, Math.min(next, lines.length - 1))].focus();
    });
    choose();
  }

  // Hides the objects of these pictures that are less sure, without asking again.
  function leastSlider(pictures) {
    const line = element("label", "rh-least", "At least ");
    const slider = element("input", "rh-slider");
    Object.assign(slider, { type: "range", min: 0, max: 100, step: 1, value: 0 });
    const value = element("output", "rh-number", "0 %");
    slider.addEventListener("input", () => {
      value.textContent = `${slider.value} %`;
      slider.setAttribute("aria-valuetext", value.textContent);
      for (const { showAtLeast } of pictures) showAtLeast(slider.value / 100);
    });
    line.append(slider, value);
    return line;
  }

  return { fileOf, annotated, leastSlider, frameOf, notesOn };
})();
