// The part "Answers" of the page that compares two versions: sends the same texts to both and shows what each answers.
// Data is always inserted as text, never as markup.
"use strict";

(() => {
  const { element, labelBars, markedText } = window.rhAnswers;
  const MOST_LABELS = 3;
  const form = document.getElementById("rh-texts");
  const state = document.getElementById("rh-texts-state");
  const button = form.querySelector("button");
  const texts = [...document.querySelectorAll("[data-text]")].map((element) => element.textContent);
  const cells = (side) => [...document.querySelectorAll(`[data-side=${side}]`)];

  async function ask(side) {
    // JavaScript counts UTF-16 units.
    const body = "spans" in form.dataset ? { texts, offset_unit: "utf16" } : { texts, top_k: MOST_LABELS };
    const response = await fetch(form.dataset[side], {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
      redirect: "manual", // to the login page, if the session has ended
    });
    if (response.type === "opaqueredirect") throw new Error("Your session has ended. Reload this page and log in again.");
    const data = await response.json();
    if (!response.ok) throw new Error(data.detail ?? data.title ?? `The answer has status ${response.status}.`);
    return data.answers;
  }

  function show(side, answers) {
    cells(side).forEach((cell, row) => {
      const answer = answers[row];
      cell.replaceChildren("entities" in answer ? markedText(answer, texts[row]) : labelBars(answer.labels));
    });
  }

  async function showSide(side) {
    try {
      show(side, await ask(side));
      return true;
    } catch (error) {
      const said = error instanceof SyntaxError || error instanceof TypeError ? "The server cannot be reached." : error.message;
      cells(side).forEach((cell, row) => cell.replaceChildren(...(row ? [] : [element("small", "rh-problem", said)])));
      return false;
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true"); // not `disabled`, which would take the focus
    state.textContent = "Asking both versions. One that is not in memory is loaded first …";
    const answered = await Promise.all(["left", "right"].map(showSide));
    state.textContent = answered.every(Boolean) ? "Both versions answered." : "At least one version did not answer.";
    button.setAttribute("aria-disabled", "false");
  });
})();
