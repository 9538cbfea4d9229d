// Sends the same request to both versions of the comparison page.
"use strict";

window.rhAskBoth = (() => {
  async function ask(form, side, { type, content, query = "" }) {
    const response = await fetch(form.dataset[side] + query, {
      method: "POST",
      body: content,
      headers: { "Content-Type": type, "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
      redirect: "manual", // to the login page, if the session has ended
    });
    if (response.type === "opaqueredirect") throw new Error("Your session has ended. Reload this page and log in again.");
    const data = await response.json();
    if (!response.ok) throw new Error(data.detail ?? data.title ?? `The answer has status ${response.status}.`);
    return data;
  }

  const problemOf = (error) =>
    error instanceof SyntaxError || error instanceof TypeError ? "The server cannot be reached." : error.message;

  // `request()` is what both are sent; `show(side, answer)` and `refuse(side, problem)` are called as each answers.
  return (form, request, show, refuse) => {
    const button = form.querySelector("[type=submit]");
    const state = form.querySelector("[role=status]");

    async function askSide(side, sent) {
      try {
        show(side, await ask(form, side, sent));
        return true;
      } catch (error) {
        refuse(side, problemOf(error));
        return false;
      }
    }

    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.getAttribute("aria-disabled") === "true") return;
      button.setAttribute("aria-disabled", "true"); // not `disabled`, which would take the focus
      state.textContent = "Asking both versions. One that is not in memory is loaded first …";
      const sent = request();
      const answered = await Promise.all(["left", "right"].map((side) => askSide(side, sent)));
      state.textContent = answered.every(Boolean) ? "Both versions answered." : "At least one version did not answer.";
      button.setAttribute("aria-disabled", "false");
    });
  };
})();
