// Shows again and again what the server tells, in the parts of a page that say where to ask.
"use strict";

(() => {
  const LONGEST_WAIT_MS = 30000;

  function follow(part) {
    const moved = part.querySelector("[data-moved]");
    const unanswered = part.querySelector("[data-unanswered]");
    const ended = part.querySelector("[data-ended]");
    const periodMs = Number(part.dataset.periodMs);
    let failures = 0;
    let shown;

    // Only what differs is replaced: a screen reader is not told the same again, and focus stays.
    function replace(html) {
      if (html === shown || moved.contains(document.activeElement)) return;
      shown = html;
      moved.innerHTML = html; // from our own templates, which escape what people wrote
    }

    async function ask() {
      if (document.hidden) return setTimeout(ask, periodMs);
      let told;
      try {
        const answer = await fetch(part.dataset.moving, { headers: { Accept: "application/json" } });
        if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
        told = await answer.json();
      } catch {
        failures += 1;
        if (unanswered) unanswered.hidden = false;
        return setTimeout(ask, Math.min(periodMs * 2 ** failures, LONGEST_WAIT_MS));
      }
      failures = 0;
      if (unanswered) unanswered.hidden = true;
      replace(told.html);
      if (told.is_open) setTimeout(ask, periodMs);
      else if (ended) ended.hidden = false;
    }

    setTimeout(ask, periodMs);
  }

  document.querySelectorAll("[data-moving]").forEach(follow);
})();
