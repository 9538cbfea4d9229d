// Parts of a page that refresh themselves: `<section id="…" data-live-s="15">` is fetched again from the page's own
// address every 15 seconds. `[data-live-age]` in it, or beside it, says how old it is. After a swap the document gets
// the event `rh:swapped` with the new element, for scripts that enhance parts. The event `rh:ended` (refresh.js) says that
// something has ended: all parts are fetched at once.
"use strict";

(() => {
  if (window.rhLive) return;
  window.rhLive = true;
  const TIMEOUT_MS = 20000;
  const LONGEST_PAUSE_MS = 120000;
  const loadedAt = Date.now();
  const updatedAt = new Map(); // by id
  const outdated = new Set(); // ids
  let problem = "";
  let failures = 0;
  let nextTryAt = 0;
  let isFetching = false;

  const parts = () => [...document.querySelectorAll("[data-live-s][id]")];
  const ageMs = (part) => Date.now() - (updatedAt.get(part.id) ?? loadedAt);
  const isDue = (part) => outdated.has(part.id) || ageMs(part) >= Number(part.dataset.liveS) * 1000;

  const isFilledIn = (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked;

  // Whoever reads, types or selects here is not interrupted, and what was typed is not lost.
  function isInUse(part) {
    const focused = document.activeElement;
    if (focused && focused !== document.body && part.contains(focused)) return true;
    if (part.querySelector("details[open], dialog[open]")) return true;
    if ([...part.querySelectorAll("input:not([type=hidden]), textarea")].some(isFilledIn)) return true;
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  }

  async function refresh() {
    isFetching = true;
    try {
      const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (response.redirected) throw new Error("you are no longer logged in");
      if (!response.ok) throw new Error("the server answers with an error");
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const due = parts().filter((part) => isDue(part) && !isInUse(part));
      const hasFailed = page.querySelector("[data-failed-panel]") && due.some((part) => !page.getElementById(part.id));
      if (hasFailed) throw new Error("a part of the page cannot be shown");
      due.forEach((part) => swap(part, page.getElementById(part.id)));
      problem = "";
      failures = 0;
    } catch (error) {
      failures += 1;
      problem = error instanceof TypeError || error.name === "TimeoutError" ? "the server is not responding" : error.message;
      nextTryAt = Date.now() + Math.min(5000 * 2 ** failures, LONGEST_PAUSE_MS);
    } finally {
      isFetching = false;
    }
    parts().forEach(showAge);
  }

  function swap(part, fresh) {
    outdated.delete(part.id);
    if (!part.isConnected) return updatedAt.set(part.id, Date.now()); // it was inside another part
    if (!fresh) return part.remove(); // it has nothing to show any more
    const placed = document.importNode(fresh, true);
    part.replaceWith(placed);
    updatedAt.set(placed.id, Date.now());
    document.dispatchEvent(new CustomEvent("rh:swapped", { detail: placed }));
  }

  function showAge(part) {
    const age = part.querySelector("[data-live-age]") ?? part.parentElement?.querySelector(":scope > [data-live-age]");
    if (!age) return;
    const seconds = Math.floor(ageMs(part) / 1000);
    const ago = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
    const why = problem || (isDue(part) && isInUse(part) ? "waits while you use it" : "");
    const text = `Updated ${ago} ago${why ? `; ${why}` : ""}`;
    if (age.textContent !== text) age.textContent = text;
    age.classList.toggle("rh-outdated", Boolean(problem));
  }

  function tick() {
    if (document.hidden) return;
    parts().forEach(showAge);
    if (isFetching || Date.now() < nextTryAt) return;
    if (parts().some((part) => isDue(part) && !isInUse(part))) refresh();
  }

  function start() {
    if (!parts().length) return;
    setInterval(tick, 1000);
    document.addEventListener("visibilitychange", tick);
    document.addEventListener("rh:ended", () => {
      for (const part of parts()) outdated.add(part.id);
      tick();
    });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
