// Closes a header's menu with Escape, or with a click elsewhere.
"use strict";

(() => {
  const opened = () => document.querySelectorAll(".rh-menu[open]");

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of opened()) {
      menu.open = false;
      if (menu.contains(document.activeElement) || document.activeElement === document.body) menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    for (const menu of opened()) if (!menu.contains(event.target)) menu.open = false;
  });
})();
