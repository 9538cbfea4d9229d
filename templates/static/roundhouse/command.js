// The theme's search over everything (Ctrl+K) opens the chosen line on Enter, and throws where no line is chosen: before the
// results are there, and when nothing was found. The theme has no setting or hook for this, so its function is wrapped.
"use strict";

document.addEventListener("alpine:init", () => {
  const theirs = window.searchCommand;
  window.searchCommand = () => {
    const command = theirs();
    const open = command.selectItem;
    command.selectItem = function (...how) {
      if (this.items?.[this.currentIndex - 1]?.querySelector("a")) open.apply(this, how);
    };
    return command;
  };
});
