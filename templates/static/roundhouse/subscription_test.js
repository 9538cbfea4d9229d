// "Send a test" sends it in place, and shows how its delivery goes until the first attempt has ended.
"use strict";

(() => {
  const EVERY_MS = 700;
  const TRIES = 90;

  const pause = () => new Promise((resolve) => setTimeout(resolve, EVERY_MS));

  async function ask(address, options) {
    const answer = await fetch(address, { redirect: "error", ...options });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  const placeOf = (button) => (button.closest("tr") || document).querySelector("[data-last-delivery]");

  // The element stays, so that screen readers hear what changes in it.
  function show(place, html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("[data-last-delivery]");
    place.dataset.open = fresh.dataset.open;
    if (place.innerHTML !== fresh.innerHTML) place.replaceChildren(...fresh.childNodes);
  }

  async function send(button) {
    const place = placeOf(button);
    button.setAttribute("aria-disabled", "true");
    try {
      const body = new FormData(document.getElementById("rh-post"));
      show(place, await ask(button.formAction, { method: "POST", body, headers: { "X-Shown-In-Place": "yes" } }));
      for (let tries = 0; place.dataset.open === "yes" && tries < TRIES; tries++) {
        await pause();
        show(place, await ask(place.dataset.lastDelivery));
      }
      if (place.dataset.open === "yes") place.append(" No worker has sent it yet.");
    } catch {
      place.textContent = "The test could not be sent. Reload this page and try again.";
    }
    button.removeAttribute("aria-disabled");
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-post=test_subscription]");
    if (!button || !placeOf(button)) return;
    event.preventDefault();
    if (!button.hasAttribute("aria-disabled")) send(button);
  });
})();
