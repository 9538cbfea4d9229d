// Moves the bars of jobs that are not over: those of a list together, and all of a job's own page.
"use strict";

(() => {
  const PERIOD_MS = 1000;
  const LONGEST_WAIT_MS = 30000;

  // Asks again and again until `show` says that nothing is open; waits longer where nobody answers.
  function follow(address, show, complain) {
    let failures = 0;
    async function ask() {
      if (document.hidden) return setTimeout(ask, PERIOD_MS);
      let told;
      try {
        const answer = await fetch(address(), { headers: { Accept: "application/json" } });
        if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
        told = await answer.json();
      } catch {
        failures += 1;
        complain("The server did not answer; this page asks again.");
        return setTimeout(ask, Math.min(PERIOD_MS * 2 ** failures, LONGEST_WAIT_MS));
      }
      failures = 0;
      complain("");
      if (show(told)) setTimeout(ask, PERIOD_MS);
    }
    setTimeout(ask, PERIOD_MS);
  }

  // The bar that is there moves; a new one would jump.
  function replace(place, html) {
    if (place.dataset.shown === html) return;
    place.dataset.shown = html;
    const old = place.querySelector("progress");
    const fresh = document.createElement("template");
    fresh.innerHTML = html; // from our own templates, which escape what people wrote
    const bar = fresh.content.querySelector("progress");
    if (old && bar) {
      old.value = bar.value;
      old.setAttribute("aria-label", bar.getAttribute("aria-label"));
      bar.replaceWith(old);
    }
    place.replaceChildren(fresh.content);
  }

  const list = document.getElementById("rh-jobs");
  const open = () => [...document.querySelectorAll("[data-job][data-open=yes]")];
  if (list && open().length) {
    follow(
      () => `${list.dataset.address}?${new URLSearchParams(open().map((one) => ["id", one.dataset.job]))}`,
      ({ jobs }) => {
        for (const bar of open()) {
          const told = jobs[bar.dataset.job];
          bar.dataset.open = told?.is_open ? "yes" : "no";
          if (!told) continue;
          replace(bar, told.bar);
          replace(document.querySelector(`[data-state-of="${bar.dataset.job}"]`), told.state);
        }
        return open().length > 0;
      },
      () => {},
    );
  }

  const page = document.getElementById("rh-job");
  if (page && page.dataset.open === "yes") {
    const said = page.querySelector("[data-said]");
    follow(
      () => page.dataset.address,
      (told) => {
        replace(page.querySelector("[data-progress]"), told.progress);
        replace(page.querySelector("[data-parts]"), told.parts);
        if (told.is_open) return true;
        location.reload(); // buttons, results and times are others now
        return false;
      },
      (text) => {
        if (said.textContent !== text) said.textContent = text;
      },
    );
  }
})();
