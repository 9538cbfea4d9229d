// The part "Answers" of the page that compares two versions: what each answers about the same items, and where they differ.
// Data is always inserted as text, never as markup.
"use strict";

(() => {
  const { element, numberText, partsOf, rankedKeys } = window.rhAnswers;
  const form = document.getElementById("rh-items");
  const body = JSON.parse(form.dataset.body);
  const items = body[form.dataset.several];
  const cells = (side) => [...document.querySelectorAll(`[data-side=${side}]`)];
  const differences = [...document.querySelectorAll("[data-difference]")];
  let answers = {}; // by side

  function request() {
    answers = {};
    for (const place of [...cells("left"), ...cells("right"), ...differences]) place.replaceChildren();
    return { type: "application/json", content: form.dataset.body };
  }

  function show(side, answer) {
    answers[side] = answer.answers;
    const { left, right } = answers;
    draw(side, left && right);
    if (!left || !right) return;
    draw(side === "left" ? "right" : "left", true);
    differences.forEach((place, row) => { place.textContent = sentenceOn(left[row], right[row]); });
  }

  function draw(side, isCompared) {
    const others = answers[side === "left" ? "right" : "left"];
    cells(side).forEach((cell, row) => {
      cell.replaceChildren(...partsOf(answers[side][row], items[row], body.candidates?.[row], isCompared ? others[row] : null));
    });
  }

  function sentenceOn(left, right) {
    if (left.items || left.indices) return sentenceOnRankings(rankedKeys(left), rankedKeys(right));
    if (left.value === undefined) return "";
    const [one, other] = [left.value, right.value];
    if (Array.isArray(one) || Array.isArray(other)) return "";
    return one === other ? "The same number." : `${numberText(Math.abs(other - one))} ${other > one ? "more" : "less"} in ${form.dataset.rightName}.`;
  }

  function sentenceOnRankings(left, right) {
    const same = left.filter((key) => right.includes(key));
    const moved = same.filter((key) => left.indexOf(key) !== right.indexOf(key)).length;
    const alone = left.length + right.length - 2 * same.length;
    if (!moved && !alone) return "The same order.";
    return `${same.length} in both${moved ? `, ${moved} at other places` : ""}${alone ? `; ${alone} in one only` : ""}.`;
  }

  function refuse(side, problem) {
    cells(side).forEach((cell, row) => cell.replaceChildren(...(row ? [] : [element("small", "rh-problem", problem)])));
  }

  window.rhAskBoth(form, request, show, refuse);
})();
