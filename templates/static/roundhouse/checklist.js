// Shows each second how a version's check stands, for as long as one runs or is waited for.
"use strict";

(() => {
  const PERIOD_MS = 1000;
  const LONGEST_WAIT_MS = 30000;
  const card = document.getElementById("rh-checks");
  if (!card || card.dataset.open !== "yes") return;
  const said = card.querySelector("[data-said]");
  const lines = card.querySelector("[data-lines]");
  const stale = card.querySelector("[data-stale]");
  let failures = 0;

  // A screen reader is told what changed, not the same sentence each second.
  function replace(place, html) {
    if (place.dataset.shown === html) return;
    place.dataset.shown = html;
    const opened = [...place.querySelectorAll("details[open]")].map((one) => one.dataset.step);
    const focused = place.contains(document.activeElement)
      ? document.activeElement.closest("details")?.dataset.step
      : undefined;
    place.innerHTML = html; // from our own templates, which escape what people wrote
    for (const one of place.querySelectorAll("details")) {
      one.open = opened.includes(one.dataset.step);
      if (one.dataset.step === focused) one.querySelector("summary").focus();
    }
  }

  async function ask() {
    if (document.hidden) return setTimeout(ask, PERIOD_MS);
    let told;
    try {
      const answer = await fetch(card.dataset.address, { headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      told = await answer.json();
    } catch {
      failures += 1;
      said.textContent = "The server did not answer; this page asks again.";
      delete said.dataset.shown;
      return setTimeout(ask, Math.min(PERIOD_MS * 2 ** failures, LONGEST_WAIT_MS));
    }
    failures = 0;
    replace(said, told.said);
    replace(lines, told.lines);
    if (told.is_open) setTimeout(ask, PERIOD_MS);
    else stale.hidden = false;
  }

  setTimeout(ask, PERIOD_MS);
})();
