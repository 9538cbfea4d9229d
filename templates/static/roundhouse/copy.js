// Copy buttons: `<button type="button" data-copy="#id">` copies the text or the value of that element. They appear only with JavaScript.
"use strict";

(() => {
  const SHOWN_MS = 2000;
  document.documentElement.classList.add("rh-scripted");

  const status = document.createElement("span");
  status.className = "rh-sr-only";
  status.setAttribute("role", "status");

  const textOf = (source) => ("value" in source ? source.value : source.textContent);

  async function copy(source) {
    try {
      await navigator.clipboard.writeText(textOf(source));
      return true;
    } catch {
      // Without https there is no clipboard API: select the text and copy it the old way.
      if ("select" in source) source.select();
      else getSelection().selectAllChildren(source);
      return document.execCommand("copy");
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    const source = button && document.querySelector(button.dataset.copy);
    if (!source) return;
    const isCopied = await copy(source);
    button.focus();
    const before = (button.dataset.before ??= button.textContent);
    button.textContent = isCopied ? "Copied" : "Press Ctrl+C";
    document.body.append(status);
    status.textContent = "";
    requestAnimationFrame(() => (status.textContent = isCopied ? "Copied" : "Selected. Press Ctrl+C to copy."));
    clearTimeout(button.back);
    button.back = setTimeout(() => (button.textContent = before), SHOWN_MS);
  });
})();
