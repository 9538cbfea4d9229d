// The page of a request's story: copies the link to it.
"use strict";

(() => {
  const COPIED_MS = 2000;
  const button = document.getElementById("rh-story-copy");
  const title = button.textContent;

  async function copyLink() {
    try {
      await navigator.clipboard.writeText(button.dataset.link);
    } catch {
      // Without https there is no clipboard API: put the link into the field, selected, and copy it the old way.
      const helper = document.createElement("textarea");
      helper.value = button.dataset.link;
      document.body.append(helper);
      helper.select();
      const isCopied = document.execCommand("copy");
      helper.remove();
      button.focus();
      if (!isCopied) return;
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = title), COPIED_MS);
  }

  button.addEventListener("click", copyLink);
})();
