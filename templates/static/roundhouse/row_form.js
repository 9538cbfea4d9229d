// A row of a table, with a field for each column. Data is always inserted as text.
"use strict";

window.rhRowForm = (() => {
  const MOST_COLUMNS = 60; // more are typed as JSON
  const KINDS = new Set(["number", "string", "boolean"]);
  const { element } = window.rhAnswers;

  function inputFor(value) {
    if (typeof value === "boolean") {
      const select = element("select", "rh-input");
      select.append(...[value, !value].map((each) => element("option", "", String(each))));
      return select;
    }
    const input = element("input", "rh-input");
    input.value = value;
    if (typeof value === "number") Object.assign(input, { type: "number", step: "any" });
    return input;
  }

  const valueOf = (input, like) => {
    if (typeof like === "boolean") return input.value === "true";
    return typeof like === "number" ? Number(input.value) : input.value;
  };

  // null for a row that is a list, has too many columns, or values that are neither numbers nor texts.
  return (place, example, changed) => {
    const columns = Array.isArray(example) ? [] : Object.entries(example);
    const isPlain = columns.every(([, value]) => KINDS.has(typeof value));
    if (!columns.length || columns.length > MOST_COLUMNS || !isPlain) return null;
    const inputs = columns.map(([name, value], at) => {
      const [field, label, input] = [element("div", "rh-field"), element("label", "", name), inputFor(value)];
      label.htmlFor = input.id = `rh-try-column-${at}`;
      input.addEventListener("input", changed);
      field.append(label, input);
      place.append(field);
      return input;
    });

    // A number that is left empty is missing.
    function row() {
      const values = columns.map(([name, like], at) => [name, inputs[at].value === "" && typeof like === "number" ? undefined : valueOf(inputs[at], like)]);
      return Object.fromEntries(values.filter(([, value]) => value !== undefined));
    }

    return { inputs, row };
  };
})();
