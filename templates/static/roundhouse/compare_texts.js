// The part "Answers" of the page that compares two versions: what each answers about the same texts.
// Data is always inserted as text, never as markup.
"use strict";

(() => {
  const { element, labelBars, markedText } = window.rhAnswers;
  const MOST_LABELS = 3;
  const form = document.getElementById("rh-texts");
  const texts = [...document.querySelectorAll("[data-text]")].map((element) => element.textContent);
  const cells = (side) => [...document.querySelectorAll(`[data-side=${side}]`)];

  function request() {
    // JavaScript counts UTF-16 units.
    const fields = "spans" in form.dataset ? { texts, offset_unit: "utf16" } : { texts, top_k: MOST_LABELS };
    return { type: "application/json", content: JSON.stringify(fields) };
  }

  function show(side, { answers }) {
    cells(side).forEach((cell, row) => {
      const answer = answers[row];
      cell.replaceChildren("entities" in answer ? markedText(answer, texts[row]) : labelBars(answer.labels));
    });
  }

  function refuse(side, problem) {
    cells(side).forEach((cell, row) => cell.replaceChildren(...(row ? [] : [element("small", "rh-problem", problem)])));
  }

  window.rhAskBoth(form, request, show, refuse);
})();
