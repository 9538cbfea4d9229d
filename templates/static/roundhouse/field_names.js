// Labels the theme's search boxes for choices with their field's name, for screen readers.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const boxes = ".select2-selection[role=combobox], .select2-selection__rendered, .select2-search__field";
  const name = () => {
    for (const select of document.querySelectorAll("select.select2-hidden-accessible")) {
      const title = document.querySelector(`label[for="${select.id}"]`)?.textContent.replace("*", "").trim() || select.name;
      select.nextElementSibling?.querySelectorAll(boxes).forEach((box) => box.setAttribute("aria-label", title));
    }
  };
  name();
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true }); // they are built later
});
