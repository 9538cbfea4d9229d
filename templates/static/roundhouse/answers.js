// How answers in words are drawn: bars for labels, marks in the text for entities. Data is always inserted as text.
"use strict";

window.rhAnswers = (() => {
  const COLOURS = 5; // of entity labels

  function element(tag, name = "", text = "") {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.textContent = text;
    return made;
  }

  const scoreText = (score) => (score >= 0 && score <= 1 ? `${(100 * score).toFixed(1)} %` : score.toPrecision(4));

  const onlyHere = () => element("small", "rh-chip rh-chip-loading rh-only-here", "only here");

  // `alone`: labels that only this answer has, when two are compared.
  function labelBars(labels, alone = []) {
    const bars = element("ul", "rh-labels");
    for (const { label, score } of labels) {
      const bar = element("span", "rh-bar");
      const filled = element("span");
      filled.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
      bar.append(filled);
      const line = element("li");
      const name = element("span", "", label);
      if (alone.includes(label)) name.append(onlyHere());
      line.append(name, bar, element("span", "rh-number", scoreText(score)));
      bars.append(line);
    }
    return bars;
  }

  const utf8 = (text) => [...new TextEncoder().encode(text)];
  const joined = (units) => (typeof units[0] === "number" ? new TextDecoder().decode(new Uint8Array(units)) : units.join(""));

  // `one` is the answer for this text; its places count what it says in `offset_unit`.
  function markedText(one, text) {
    const units = one.offset_unit === "utf16" ? text.split("") : one.offset_unit === "byte" ? utf8(text) : Array.from(text);
    const labels = [...new Set(one.entities.map((entity) => entity.label))];
    const block = element("p", "rh-marked-text");
    let at = 0;
    for (const { label, start, end, score } of one.entities) {
      const mark = element("mark", `rh-entity rh-entity-${labels.indexOf(label) % COLOURS}`);
      mark.append(joined(units.slice(start, end)), element("small", "", `${label} ${scoreText(score)}`));
      block.append(joined(units.slice(at, start)), mark);
      at = end;
    }
    block.append(joined(units.slice(at)));
    if (!one.entities.length) block.append(element("small", "", " No entities found."));
    return block;
  }

  return { element, labelBars, markedText, onlyHere, scoreText };
})();
