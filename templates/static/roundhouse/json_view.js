// Shows JSON of the page, indented: `<pre data-json-of="id">` shows the script element with that id.
"use strict";

for (const view of document.querySelectorAll("[data-json-of]")) {
  view.textContent = JSON.stringify(JSON.parse(document.getElementById(view.dataset.jsonOf).textContent), null, 2);
}
