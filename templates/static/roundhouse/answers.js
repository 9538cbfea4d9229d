// How answers in words are drawn: bars for labels, marks in the text for entities, tables of what was ranked, numbers.
// Data is always inserted as text.
"use strict";

window.rhAnswers = (() => {
  const COLOURS = 5; // of entity labels
  const MOST_RANKED = 100; // items or candidates, and numbers; the rest is only in the JSON
  const LONGEST = 200; // characters of an item

  function element(tag, name = "", text = "") {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.textContent = text;
    return made;
  }

  const scoreText = (score) => (score >= 0 && score <= 1 ? `${(100 * score).toFixed(1)} %` : score.toPrecision(4));

  const onlyHere = () => element("span", "rh-chip rh-chip-loading rh-only-here", "only here");

  function barOf(share) {
    const bar = element("span", "rh-bar");
    const filled = element("span");
    filled.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
    bar.append(filled);
    return bar;
  }

  // `alone`: labels that only this answer has, when two are compared.
  function labelBars(labels, alone = []) {
    const bars = element("ul", "rh-labels");
    for (const { label, score } of labels) {
      const bar = barOf(score);
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

  // An item of a request, or a candidate, in a line: names and values of an object.
  function inWords(item) {
    const isObject = item !== null && typeof item === "object" && !Array.isArray(item);
    const pairs = isObject && Object.entries(item).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
    const text = pairs ? pairs.join(", ") : typeof item === "string" ? item : JSON.stringify(item) ?? "";
    return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
  }

  const areShares = (scores) => scores.every((score) => score >= 0 && score <= 1);

  // Scores that are no probabilities are compared with each other: the bar of the lowest one is empty if it is negative.
  function sharesOf(scores) {
    if (areShares(scores)) return scores;
    const [least, most] = [Math.min(0, ...scores), Math.max(...scores)];
    return scores.map((score) => (most > least ? (score - least) / (most - least) : 0));
  }

  const rankedKeys = (one) => (one.items ?? one.indices).slice(0, MOST_RANKED);

  // What became of a place: null if it stayed.
  function moveNote(at, before) {
    if (before < 0) return onlyHere();
    if (before === at) return null;
    const note = element("span", "rh-chip rh-moved", `${before > at ? "↑" : "↓"} ${Math.abs(before - at)}`);
    note.title = `place ${before + 1} in the other version`;
    note.setAttribute("aria-label", `${Math.abs(before - at)} ${before > at ? "higher" : "lower"} than in the other version`);
    note.setAttribute("role", "img");
    return note;
  }

  // `candidates`: those of the request, to which the answer's indices lead. `other`: an answer with which this one is compared.
  function rankedTable(one, candidates, other) {
    const keys = rankedKeys(one);
    const scores = one.scores.slice(0, keys.length);
    const shares = sharesOf(scores);
    const isChance = one.indices && areShares(scores);
    const before = other && rankedKeys(other);
    const table = element("table", "rh-table rh-ranked");
    const heads = element("tr");
    for (const title of ["Place", one.items ? "Item" : "Candidate", "Score"]) {
      const head = element("th", "", title);
      head.scope = "col";
      heads.append(head);
    }
    table.append(element("thead"), element("tbody"));
    table.tHead.append(heads);
    keys.forEach((key, at) => {
      const title = element("td", "", one.items ? inWords(key) : String(key));
      if (candidates?.[key] !== undefined) title.append(element("small", "", inWords(candidates[key])));
      const note = before && moveNote(at, before.indexOf(key));
      if (note) title.append(" ", note);
      const score = element("td");
      score.append(barOf(shares[at]), element("small", "", isChance ? scoreText(scores[at]) : scores[at].toPrecision(4)));
      const row = element("tr");
      row.append(element("td", "", String(at + 1)), title, score);
      table.tBodies[0].append(row);
    });
    return table;
  }

  function ranked(one, candidates, other) {
    const all = (one.items ?? one.indices).length;
    const notes = [];
    if (one.fallback) notes.push("The version does not know this user: these are the items of its fallback user.");
    if (!all) notes.push(one.items ? "No items are left to recommend." : "No candidates.");
    if (all > MOST_RANKED) notes.push(`The best ${MOST_RANKED} of ${all.toLocaleString("en")} are shown; the JSON has all.`);
    return [...notes.map((note) => element("p", "rh-note", note)), ...(all ? [rankedTable(one, candidates, other)] : [])];
  }

  const numberText = (number) => number.toLocaleString("en", { maximumSignificantDigits: 6 });

  function computedValue({ value }) {
    const numbers = [value].flat();
    const more = numbers.length > MOST_RANKED ? ` and ${(numbers.length - MOST_RANKED).toLocaleString("en")} more` : "";
    return element("p", "rh-computed", numbers.slice(0, MOST_RANKED).map(numberText).join(" · ") + more);
  }

  // The parts of an answer whose item is no picture.
  function partsOf(one, item, candidates, other) {
    if (one.entities) return [markedText(one, item)];
    if (one.items || one.indices) return ranked(one, candidates, other);
    if (one.labels) return [labelBars(one.labels, other?.labels ? labelsWithout(one, other) : [])];
    return [computedValue(one)];
  }

  function labelsWithout(answer, other) {
    const others = new Set(other.labels.map(({ label }) => label));
    return answer.labels.map(({ label }) => label).filter((label) => !others.has(label));
  }

  return { element, inWords, labelBars, labelsWithout, numberText, onlyHere, partsOf, rankedKeys, scoreText };
})();
