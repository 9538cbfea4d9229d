// The search over everything: Ctrl+K, ⌘K or `/` opens it, arrow keys choose, Enter opens. The server answers with groups
// of results (registry/kit/admin/search.py).
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const dialog = document.getElementById("rh-search");
  if (!dialog) return;
  const box = dialog.querySelector("#rh-search-text");
  const list = dialog.querySelector("#rh-search-results");
  const said = dialog.querySelector("[data-search-said]");
  const HINT = "Try a Model, “demand v3”, the start of a SHA-256 or of a job’s id, or “roll back demand”.";
  const PAUSE_MS = 120;
  const SLOW_MS = 300;
  let asking = null; // the AbortController of the question under way
  let pause = 0;
  let slow = 0;
  let chosen = -1;
  let enterWaits = null; // Enter was pressed before the answer came: "here" or "new tab"
  let answered = ""; // the text that the results belong to

  const options = () => [...list.querySelectorAll("[role=option]")];
  const text = () => box.value.trim();

  function open() {
    if (dialog.open) return;
    dialog.showModal();
    box.select();
    if (!text() || answered !== text()) ask();
  }

  function choose(index) {
    const all = options();
    chosen = all.length ? (index + all.length) % all.length : -1;
    all.forEach((option, place) => option.setAttribute("aria-selected", String(place === chosen)));
    if (chosen < 0) return box.removeAttribute("aria-activedescendant");
    box.setAttribute("aria-activedescendant", all[chosen].id);
    all[chosen].scrollIntoView({ block: "nearest" });
  }

  function go(where) {
    if (answered !== text()) {
      if (!text()) return;
      enterWaits = where;
      if (!asking) ask();
      return;
    }
    const link = options()[chosen];
    if (!link) return;
    if (where === "new tab") window.open(link.href, "_blank", "noopener");
    else window.location.assign(link.href);
  }

  function element(name, className, content) {
    const made = document.createElement(name);
    made.className = className;
    if (content) made.textContent = content;
    return made;
  }

  function line(item, number) {
    const link = element("a", "rh-search-item");
    link.href = item.url;
    link.id = `rh-search-item-${number}`;
    link.setAttribute("role", "option");
    link.tabIndex = -1;
    const icon = element("span", "material-symbols-outlined", item.icon);
    icon.setAttribute("aria-hidden", "true");
    link.append(icon, element("b", "", item.title), element("span", "rh-search-detail", item.detail));
    link.addEventListener("mousemove", () => choose(options().indexOf(link)));
    return link;
  }

  function show(asked, groups, failed) {
    let number = 0;
    list.replaceChildren(
      ...groups.map((group, place) => {
        const part = element("div", "rh-search-group");
        const title = element("div", "rh-search-title", group.title);
        title.id = `rh-search-group-${place}`;
        part.setAttribute("role", "group");
        part.setAttribute("aria-labelledby", title.id);
        part.append(title, ...group.items.map((item) => line(item, number++)));
        return part;
      }),
    );
    box.setAttribute("aria-expanded", String(number > 0));
    const nothing = asked && !number ? `Nothing found for “${asked}”.` : "";
    const broken = failed.length ? `${failed.join(", ")} could not be searched; the error is in the server’s log.` : "";
    say([nothing, broken].filter(Boolean).join(" ") || (asked ? "" : HINT));
    choose(0);
  }

  function say(sentence) {
    said.textContent = sentence;
  }

  function wait(isWaiting) {
    dialog.classList.toggle("rh-search-waiting", isWaiting);
    clearTimeout(slow);
    if (isWaiting) slow = setTimeout(() => say("Searching…"), SLOW_MS);
  }

  function stop() {
    clearTimeout(pause);
    asking?.abort();
    asking = null;
  }

  async function ask() {
    stop();
    const asked = text();
    if (!asked) {
      wait(false);
      answered = "";
      return show("", [], []);
    }
    const mine = (asking = new AbortController());
    wait(true);
    try {
      const response = await fetch(`${dialog.dataset.address}?q=${encodeURIComponent(asked)}`, { signal: mine.signal });
      if (response.redirected) throw new Error("You are logged out. Reload the page to log in.");
      if (!response.ok) throw new Error(`The search failed with status ${response.status}. Try again.`);
      const found = await response.json();
      if (asking !== mine) return;
      asking = null;
      wait(false);
      answered = asked;
      show(asked, found.groups, found.failed);
      if (enterWaits) go(enterWaits);
    } catch (error) {
      if (asking !== mine) return;
      asking = null;
      wait(false);
      answered = "";
      show("", [], []);
      say(error instanceof TypeError ? "The server did not answer. Try again." : error.message);
    }
    enterWaits = null;
  }

  box.addEventListener("input", () => {
    enterWaits = null;
    clearTimeout(pause);
    pause = setTimeout(ask, PAUSE_MS);
  });

  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Escape") dialog.close(); // Chromium would only clear the text
    else if (event.key === "Enter") go(event.ctrlKey || event.metaKey ? "new tab" : "here");
    else return;
    event.preventDefault();
  });

  dialog.addEventListener("close", () => {
    stop();
    wait(false);
    enterWaits = null;
  });

  document.addEventListener("keydown", (event) => {
    const isCommand = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k";
    const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey;
    const isWriting = event.target.closest?.("input, textarea, select, [contenteditable]");
    // On a list, `/` goes to the list's own search box, as the box says.
    if (!isCommand && (!isSlash || isWriting || document.getElementById("searchbar"))) return;
    event.preventDefault();
    open();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-search-open]")) open();
    if (event.target === dialog || event.target.closest?.("[data-search-close]")) dialog.close(); // beside the dialog
  });
});
