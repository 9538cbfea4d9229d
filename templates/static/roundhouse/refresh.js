// Follows what ends, such as a check or a job: asks an address of its own every second or so, until nothing more will change.
// What never ends is live.js's, which fetches the whole page again, and less often.
"use strict";

(() => {
  if (window.rhRefreshes) return; // more than one panel of a page may load this script
  window.rhRefreshes = true;
  const LONGEST_WAIT_MS = 30000;

  // Calls `show` with each answer until it returns false, or there is no address. After a failure it waits longer each time.
  function poll(address, periodMs, show, setFailed = () => {}) {
    let failures = 0;
    async function ask() {
      const asked = address();
      if (!asked) return;
      if (document.hidden) return setTimeout(ask, periodMs);
      let data;
      try {
        const response = await fetch(asked, { headers: { Accept: "application/json" } });
        if (!response.ok || response.redirected) throw new Error(String(response.status));
        data = await response.json();
      } catch {
        failures += 1;
        setFailed(true);
        return setTimeout(ask, Math.min(periodMs * 2 ** failures, LONGEST_WAIT_MS));
      }
      failures = 0;
      setFailed(false);
      if (show(data)) setTimeout(ask, periodMs);
    }
    setTimeout(ask, periodMs);
  }

  // Unchanged content stays, so that screen readers do not repeat it. Open details stay open, focus stays where it is,
  // and a progress bar moves: a new one would jump.
  function replace(part, html) {
    if (part.dataset.shown === html) return;
    const hasFocus = part.contains(document.activeElement);
    const focusedStep = hasFocus ? document.activeElement.closest("details[data-step]")?.dataset.step : undefined;
    if (hasFocus && !focusedStep) return;
    part.dataset.shown = html;
    const fresh = document.createElement("template");
    fresh.innerHTML = html; // from our own templates, which escape what people wrote
    const [bar, freshBar] = [part, fresh.content].map((place) => place.querySelector("progress"));
    if (bar && freshBar) {
      bar.value = freshBar.value;
      bar.setAttribute("aria-label", freshBar.getAttribute("aria-label"));
      freshBar.replaceWith(bar);
    }
    const opened = [...part.querySelectorAll("details[open]")].map((details) => details.dataset.step);
    for (const details of fresh.content.querySelectorAll("details")) details.open = opened.includes(details.dataset.step);
    part.replaceChildren(fresh.content);
    if (focusedStep) part.querySelector(`details[data-step="${CSS.escape(focusedStep)}"] summary`)?.focus();
  }

  // An element with `data-refresh` names the address. The answer has HTML for each of its parts, by `data-part`.
  function follow(element) {
    const unanswered = element.querySelector("[data-unanswered]");
    const ended = element.querySelector("[data-ended]");
    poll(
      () => element.isConnected && element.dataset.refresh, // live.js may have replaced it
      Number(element.dataset.periodMs),
      (data) => {
        for (const part of element.querySelectorAll("[data-part]")) replace(part, data[part.dataset.part]);
        if (data.is_open) return true;
        if (ended) ended.hidden = false;
        if ("reload" in element.dataset) location.reload();
        else document.dispatchEvent(new Event("rh:ended"));
        return false;
      },
      (failed) => {
        if (unanswered) unanswered.hidden = !failed;
      },
    );
  }

  // The bars of all unfinished jobs in a list, in one request.
  function followJobs(list) {
    const open = () => [...document.querySelectorAll("[data-job][data-open=yes]")];
    if (!open().length) return;
    poll(
      () => `${list.dataset.address}?${new URLSearchParams(open().map((bar) => ["id", bar.dataset.job]))}`,
      1000,
      ({ jobs }) => {
        for (const bar of open()) {
          const job = jobs[bar.dataset.job];
          bar.dataset.open = job?.is_open ? "yes" : "no";
          if (!job) continue;
          replace(bar, job.bar);
          replace(document.querySelector(`[data-state-of="${bar.dataset.job}"]`), job.state);
        }
        return open().length > 0;
      },
    );
  }

  const followIn = (place) => place.querySelectorAll("[data-refresh]:not([data-open=no])").forEach(follow);
  followIn(document);
  document.addEventListener("rh:swapped", (event) => followIn(event.detail));
  document.querySelectorAll("#rh-jobs").forEach(followJobs);
})();
