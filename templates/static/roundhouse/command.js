// The theme's global search (Ctrl+K) opens the selected line on Enter, and throws if there is none: before results arrive,
// and when nothing was found. The theme has no setting for this, so its function is wrapped.
"use strict";

document.addEventListener("alpine:init", () => {
  const themeCommand = window.searchCommand;
  window.searchCommand = () => {
    const command = themeCommand();
    const open = command.selectItem;
    command.selectItem = function (...how) {
      if (this.items?.[this.currentIndex - 1]?.querySelector("a")) open.apply(this, how);
    };
    return command;
  };
});
