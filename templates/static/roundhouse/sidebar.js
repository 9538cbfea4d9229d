// Remembers which groups of the sidebar are closed, in a cookie, so that the server draws them closed on the next page.
"use strict";

for (const group of document.querySelectorAll("details[data-group]")) {
  group.addEventListener("toggle", () => {
    const closed = [...document.querySelectorAll("details[data-group]:not([open])")].map((each) => each.dataset.group);
    document.cookie = `rh_closed=${closed.join(".")}; path=/admin/; max-age=31536000; SameSite=Lax`;
  });
}
