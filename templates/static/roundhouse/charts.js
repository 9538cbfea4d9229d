// Charts over time: a crosshair with values for pointer and keyboard, and a zoom. Every text comes from the server.
"use strict";

(() => {
  if (window.rhCharts) return; // more than one panel of a page may load this script
  window.rhCharts = true;
  const SVG = "http://www.w3.org/2000/svg";
  const DRAG_PX = 6; // a shorter movement is a click
  const MOST_TICKS = 4;
  const MOST_MARKS = 4; // in a tooltip
  const enhanced = new WeakSet();
  const zooms = new Map(); // [first, last] in ms by the element's id, for when live.js replaces the element
  let pointer = null; // where it last was: { id, plot, x }

  function shape(name, attributes, parent) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent?.append(element);
    return element;
  }

  function html(name, className, text = "") {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
  }

  // One plot: what the server drew, and a crosshair, a tooltip and an area that takes pointer and keys.
  class Plot {
    constructor(charts, figure, data, index) {
      Object.assign(this, { charts, data, index });
      this.svg = figure.querySelector("svg");
      this.linesGroup = figure.querySelector("[data-lines]");
      this.xTicks = figure.querySelector("[data-x-ticks]");
      this.serverTicks = [...this.xTicks.children];
      this.yTexts = [...figure.querySelectorAll("[data-y-ticks] text")];
      this.marks = [...figure.querySelectorAll("[data-mark]")];
      this.top = data.scales[0][0];
      const { left, right, top, bottom, height } = charts.data.frame;
      const clip = shape("clipPath", { id: `${charts.id}-clip-${index}` }, this.svg);
      shape("rect", { x: left - 3, y: 0, width: right - left + 6, height }, clip);
      this.linesGroup.setAttribute("clip-path", `url(#${clip.id})`);
      this.chosen = shape("rect", { class: "rh-chosen", y: top, height: bottom - top, visibility: "hidden" }, this.svg);
      this.crosshair = shape("g", { class: "rh-crosshair", visibility: "hidden" }, this.svg);
      this.rule = shape("line", { y1: top, y2: bottom }, this.crosshair);
      this.points = data.lines.map((line) => {
        const group = shape("g", { class: `rh-curve rh-curve-${line.look}` }, this.crosshair);
        return shape("circle", { r: 3.5 }, group);
      });
      this.tip = html("div", "rh-tip");
      this.tip.hidden = true;
      this.tip.setAttribute("aria-hidden", "true"); // the slider says the same
      this.slider = html("div", "rh-plot-slider");
      const attributes = {
        role: "slider", tabindex: "0", "aria-label": `${data.title} by time`, "aria-valuemin": "0",
        "aria-describedby": `${charts.id}-hint`,
      };
      for (const [name, value] of Object.entries(attributes)) this.slider.setAttribute(name, value);
      this.svg.after(this.slider, this.tip);
      this.describe(charts.steps.length - 1);
      this.listen();
    }

    listen() {
      const { charts, slider } = this;
      slider.addEventListener("keydown", (event) => charts.press(event, this));
      slider.addEventListener("focus", () => charts.show(charts.step ?? charts.last, this));
      slider.addEventListener("blur", () => charts.hide());
      slider.addEventListener("dblclick", () => charts.zoom(null));
      slider.addEventListener("pointerdown", (event) => {
        if (event.pointerType === "touch" || event.button !== 0) return; // a finger reads values and scrolls
        this.dragFrom = event.clientX;
        slider.setPointerCapture(event.pointerId);
      });
      slider.addEventListener("pointermove", (event) => {
        pointer = { id: charts.id, plot: this.index, x: event.clientX };
        charts.show(this.stepAt(event.clientX), this);
        if (this.isDrag(event)) charts.choose(this.stepAt(this.dragFrom), this.stepAt(event.clientX));
      });
      slider.addEventListener("pointerup", (event) => {
        const isDrag = this.isDrag(event);
        const from = this.dragFrom;
        this.endDrag();
        if (isDrag) charts.zoom([this.stepAt(from), this.stepAt(event.clientX)]);
      });
      slider.addEventListener("pointercancel", () => this.endDrag());
      slider.addEventListener("pointerleave", () => {
        pointer = null;
        if (!charts.element.contains(document.activeElement?.closest(".rh-plot-slider"))) charts.hide();
      });
    }

    isDrag(event) {
      return this.dragFrom !== undefined && Math.abs(event.clientX - this.dragFrom) >= DRAG_PX;
    }

    endDrag() {
      this.dragFrom = undefined;
      this.charts.choose(null);
    }

    // The visible step nearest to a place on the screen.
    stepAt(clientX) {
      const { data, steps, first, last } = this.charts;
      const box = this.svg.getBoundingClientRect();
      const x = ((clientX - box.left) / box.width) * data.frame.width;
      let nearest = first;
      for (let step = first; step <= last; step += 1) {
        if (Math.abs(this.charts.x(steps[step][0]) - x) < Math.abs(this.charts.x(steps[nearest][0]) - x)) nearest = step;
      }
      return nearest;
    }

    y(value) {
      const { top, bottom } = this.charts.data.frame;
      return bottom - Math.min(value / this.top, 1) * (bottom - top);
    }

    draw() {
      const { charts } = this;
      const values = this.data.lines.flatMap((line) => line.values.slice(charts.first, charts.last + 1));
      const highest = Math.max(0, ...values.filter((value) => value !== null));
      const scales = this.data.scales.filter(([top]) => top >= highest * 0.999);
      const [top, texts] = charts.isZoomed && scales.length ? scales.at(-1) : this.data.scales[0];
      this.top = top;
      this.yTexts.forEach((text, index) => (text.textContent = texts[index]));
      this.xTicks.replaceChildren(...(charts.isZoomed ? this.zoomedTicks() : this.serverTicks));
      this.linesGroup.replaceChildren(...this.data.lines.map((line) => this.drawLine(line)));
      for (const mark of this.marks) {
        const at = charts.data.marks[mark.dataset.mark].at;
        mark.toggleAttribute("hidden", at < charts.from || at > charts.to);
        for (const part of mark.children) {
          for (const name of part.localName === "line" ? ["x1", "x2"] : ["cx"]) part.setAttribute(name, charts.x(at));
        }
      }
    }

    drawLine(line) {
      const group = shape("g", { class: `rh-curve rh-curve-${line.look}` });
      let piece = [];
      const end = () => {
        if (piece.length > 1) shape("polyline", { points: piece.join(" ") }, group);
        if (piece.length === 1) shape("circle", { cx: piece[0][0], cy: piece[0][1], r: 2.5 }, group);
        piece = [];
      };
      line.values.forEach((value, step) => {
        if (value === null) end();
        else piece.push([this.charts.x(this.charts.steps[step][0]).toFixed(1), this.y(value).toFixed(1)]);
      });
      end();
      return group;
    }

    zoomedTicks() {
      const { steps, first, last, data } = this.charts;
      const every = Math.max(1, Math.ceil((last - first) / MOST_TICKS));
      const ticks = [];
      for (let step = first; step <= last; step += every) {
        const [at, title] = steps[step];
        const anchor = step === last ? "end" : "middle";
        const tick = shape("text", { class: "rh-plot-text", x: this.charts.x(at), y: data.frame.bottom + 18, "text-anchor": anchor });
        tick.textContent = title;
        ticks.push(tick);
      }
      return ticks;
    }

    show(step, isActive) {
      const { charts } = this;
      const x = charts.x(charts.steps[step][0]);
      this.crosshair.setAttribute("visibility", "visible");
      this.rule.setAttribute("x1", x);
      this.rule.setAttribute("x2", x);
      this.data.lines.forEach((line, index) => {
        const value = line.values[step];
        const point = this.points[index];
        point.toggleAttribute("hidden", value === null);
        if (value === null) return;
        point.setAttribute("cx", x);
        point.setAttribute("cy", this.y(value));
      });
      this.fillTip(step, isActive);
      this.tip.classList.toggle("rh-tip-active", isActive);
      this.tip.hidden = false;
      this.placeTip(x);
      this.describe(step);
    }

    // Below the plot, so that it hides no values, and within it, so that it makes the page no wider.
    placeTip(x) {
      const width = this.svg.getBoundingClientRect().width;
      const middle = (x / this.charts.data.frame.width) * width - this.tip.offsetWidth / 2;
      this.tip.style.left = `${Math.max(0, Math.min(middle, width - this.tip.offsetWidth))}px`;
    }

    fillTip(step, isActive) {
      const { charts } = this;
      const rows = this.data.lines.map((line) => {
        const row = html("div", "rh-tip-row");
        const key = shape("svg", { viewBox: "0 0 24 4", width: 20, height: 4 });
        shape("polyline", { points: "0,2 24,2" }, shape("g", { class: `rh-curve rh-curve-${line.look}` }, key));
        row.append(key, html("span", "", line.label), html("b", "", line.texts[step] || "–"));
        return row;
      });
      const marks = charts.marksAt(step);
      const shown = isActive ? marks.slice(0, MOST_MARKS) : [];
      const sentences = shown.map((mark) => {
        const row = html("div", "rh-tip-mark");
        row.append(html("span", `rh-mark-dot rh-mark-${mark.kind}`), html("span", "", mark.text));
        return row;
      });
      if (isActive && marks.length > shown.length) sentences.push(html("div", "", `and ${marks.length - shown.length} more`));
      this.tip.replaceChildren(html("div", "rh-tip-title", charts.steps[step][1]), ...rows, ...sentences);
    }

    describe(step) {
      const { charts } = this;
      const values = this.data.lines.map((line) => `${line.label} ${line.texts[step] || "no data"}`);
      const marks = charts.marksAt(step).map((mark) => mark.text);
      this.slider.setAttribute("aria-valuemax", charts.steps.length - 1);
      this.slider.setAttribute("aria-valuenow", step);
      this.slider.setAttribute("aria-valuetext", [`${charts.steps[step][1]}: ${values.join(", ")}`, ...marks].join(". "));
    }

    hide() {
      this.crosshair.setAttribute("visibility", "hidden");
      this.tip.hidden = true;
    }

    choose(ends) {
      this.chosen.setAttribute("visibility", ends ? "visible" : "hidden");
      if (!ends) return;
      this.chosen.setAttribute("x", ends[0]);
      this.chosen.setAttribute("width", ends[1] - ends[0]);
    }
  }

  // All plots of a panel: they share the time, so the crosshair and the zoom are the same in each.
  class Charts {
    constructor(element) {
      this.element = element;
      this.id = element.id;
      this.data = JSON.parse(element.querySelector("script[type='application/json']").textContent);
      this.steps = this.data.steps; // [share of the axis, title]
      this.step = null;
      this.setRange(0, this.steps.length - 1, false);
      const figures = [...element.querySelectorAll("[data-plot]")];
      this.plots = figures.map((figure, index) => new Plot(this, figure, this.data.plots[index], index));
      element.querySelector("[data-hint]").hidden = false;
      element.querySelector("[data-unzoom]").addEventListener("click", () => {
        this.zoom(null);
        this.plots[0].slider.focus(); // the button is gone
      });
      for (const entry of element.querySelectorAll("li[data-mark]")) this.followEntry(entry);
      const kept = zooms.get(this.id);
      if (kept) this.zoom(kept.map((moment) => this.stepOfMoment(moment)));
      if (pointer?.id === this.id && element.matches(":hover")) {
        const plot = this.plots[pointer.plot];
        if (plot) this.show(plot.stepAt(pointer.x), plot);
      }
    }

    setRange(first, last, isZoomed) {
      Object.assign(this, { first, last, isZoomed });
      this.from = isZoomed ? this.steps[first][0] : 0;
      this.to = isZoomed ? this.steps[last][0] : 1;
    }

    x(share) {
      const { left, right } = this.data.frame;
      return left + ((share - this.from) / (this.to - this.from || 1)) * (right - left);
    }

    momentOf(step) {
      return this.data.start + this.steps[step][0] * (this.data.end - this.data.start);
    }

    stepOfMoment(moment) {
      const share = (moment - this.data.start) / (this.data.end - this.data.start);
      const found = this.steps.findIndex(([at]) => at >= share - 1e-4);
      return found < 0 ? this.steps.length - 1 : found;
    }

    marksAt(step) {
      return this.data.marks.filter((mark) => mark.step === step);
    }

    show(step, active) {
      this.step = step;
      for (const plot of this.plots) plot.show(step, plot === active);
    }

    hide() {
      for (const plot of this.plots) plot.hide();
    }

    // Marks what a drag would zoom to.
    choose(from, to) {
      const ends = from === null ? null : [from, to].map((step) => this.x(this.steps[step][0])).sort((a, b) => a - b);
      for (const plot of this.plots) plot.choose(ends);
    }

    // Shows the steps between two, or all of them.
    zoom(ends) {
      const [first, last] = ends ? [Math.min(...ends), Math.max(...ends)] : [0, this.steps.length - 1];
      if (first === last) return;
      this.setRange(first, last, ends !== null && (first > 0 || last < this.steps.length - 1));
      if (this.isZoomed) zooms.set(this.id, [this.momentOf(first), this.momentOf(last)]);
      else zooms.delete(this.id);
      for (const plot of this.plots) plot.draw();
      this.element.querySelector("[data-zoomed]").hidden = !this.isZoomed;
      this.element.querySelector("[data-zoom-text]").textContent = `${this.steps[first][1]} – ${this.steps[last][1]}`;
      this.step = this.step === null ? null : Math.min(last, Math.max(first, this.step));
      const focused = this.plots.find((plot) => plot.slider === document.activeElement);
      if (focused) this.show(this.step ?? last, focused);
      else this.hide();
    }

    press(event, plot) {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const step = this.step ?? this.last;
      const moves = {
        ArrowLeft: step - 1, ArrowDown: step - 1, ArrowRight: step + 1, ArrowUp: step + 1,
        PageDown: step - 10, PageUp: step + 10, Home: this.first, End: this.last,
      };
      const width = this.last - this.first;
      if (event.key in moves) this.show(Math.min(this.last, Math.max(this.first, moves[event.key])), plot);
      else if (event.key === "+" || event.key === "=") this.zoomAround(step, Math.ceil(width / 4));
      else if (event.key === "-") this.zoomAround(step, width);
      else if (event.key === "Escape" && this.isZoomed) this.zoom(null);
      else if (event.key === "Escape") this.hide();
      else return;
      event.preventDefault();
    }

    zoomAround(step, reach) {
      this.zoom([Math.max(0, step - reach), Math.min(this.steps.length - 1, step + reach)]);
    }

    // An entry of the list lights up its line in the plots.
    followEntry(entry) {
      const light = (isLit) => {
        for (const plot of this.plots) {
          for (const mark of plot.marks) mark.classList.toggle("rh-lit", isLit && mark.dataset.mark === entry.dataset.mark);
        }
      };
      for (const name of ["pointerenter", "focusin"]) entry.addEventListener(name, () => light(true));
      for (const name of ["pointerleave", "focusout"]) entry.addEventListener(name, () => light(false));
    }
  }

  function enhance() {
    for (const element of document.querySelectorAll("[data-charts]")) {
      if (enhanced.has(element)) continue;
      enhanced.add(element);
      new Charts(element);
    }
  }

  enhance();
  document.addEventListener("rh:swapped", enhance); // live.js has replaced a part of the page
})();
