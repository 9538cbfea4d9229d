// What all forms do: a wrong field is scrolled to and gets the focus, else the field that matters has it; Ctrl+Enter submits
// from a text of several lines; a form with files that is refused keeps its files.
"use strict";

(() => {
  const FIELDS = "input:not([type=hidden]):not([type=submit]), select, textarea";

  const isShown = (element) => element.getClientRects().length > 0;

  // What can have the focus in place of a field that the theme hides: its search box for choices.
  function standIn(field) {
    return field.classList.contains("select2-hidden-accessible") ? field.nextElementSibling?.querySelector("[role=combobox], textarea") : field;
  }

  function show(element) {
    element.closest("details")?.setAttribute("open", "");
    element.scrollIntoView({ block: "center" });
    element.focus({ preventScroll: true });
  }

  // The theme's help texts have no id, which the fields' aria-describedby names.
  function nameHelp(form) {
    for (const field of form.querySelectorAll("[aria-describedby]")) {
      for (const id of field.getAttribute("aria-describedby").split(" ")) {
        if (!id.endsWith("_helptext") || document.getElementById(id)) continue;
        const help = field.closest(".field-line, .form-row, .grow")?.querySelector(".leading-relaxed.text-xs:not([id])");
        if (help) help.id = id;
      }
    }
  }

  function showFirstError(form) {
    const field = [...form.querySelectorAll("[aria-invalid=true]")].map(standIn).find((one) => one && isShown(one.closest(".rh-field, .form-row, .field-line, li") || one));
    const group = form.querySelector("[aria-describedby$=_error] :is(input, select)");
    // The theme says first that there are errors, then which ones.
    const banner = [...form.querySelectorAll(form.matches("[data-focus]") ? ":scope > [role=alert]:not([hidden])" : ".errornote")].pop();
    if (field || group) show(field || group);
    else if (banner) {
      banner.tabIndex = -1;
      show(banner);
    }
    return Boolean(field || group || banner);
  }

  // The named field; else the first one that is required and empty, if it is text; else the first.
  function focusFirst(form) {
    const named = form.dataset.focus && form.elements[form.dataset.focus];
    const fields = [...form.querySelectorAll(FIELDS)].filter((one) => isShown(one) && !one.disabled && !one.readOnly);
    const isEmpty = (one) => one.required && !one.value && !["checkbox", "radio"].includes(one.type);
    const field = named || fields.find(isEmpty) || fields[0];
    field?.focus?.({ preventScroll: true });
  }

  function begin() {
    const own = document.querySelector("form[data-focus]");
    const form = own || document.querySelector("#content-main > form");
    if (!form) return;
    nameHelp(form);
    if (showFirstError(form)) return;
    if (own && [document.body, null].includes(document.activeElement)) focusFirst(own);
  }

  // --- files: a browser forgets them when a page comes back with errors, so the answer is put into this page instead

  const refusal = (text) => {
    const banner = document.createElement("p");
    banner.className = "rh-banner rh-stopped";
    banner.setAttribute("role", "alert");
    banner.textContent = text;
    return banner;
  };

  function refuse(form, text) {
    for (const old of form.querySelectorAll(":scope > .rh-banner[role=alert]")) old.remove();
    form.prepend(refusal(text));
    showFirstError(form);
  }

  function takeAnswer(form, html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById(form.id);
    if (!fresh) return refuse(form, "The page has changed since you opened it, or your session has ended. Reload it and send again.");
    for (const old of form.querySelectorAll("input[type=file]")) {
      const place = fresh.querySelector(`[name="${old.name}"]`)?.closest(".rh-field");
      const kept = old.closest(".rh-field");
      if (!place) continue;
      kept.querySelector("[role=alert]")?.remove();
      const problem = place.querySelector("[role=alert]");
      if (problem) kept.append(problem);
      old.removeAttribute("aria-invalid");
      if (problem) old.setAttribute("aria-invalid", "true");
      place.replaceWith(kept);
    }
    form.replaceWith(fresh);
    document.dispatchEvent(new CustomEvent("rh:swapped", { detail: fresh }));
    if (!showFirstError(fresh)) focusFirst(fresh);
  }

  async function send(form, button) {
    const words = button?.textContent;
    form.dataset.sending = "yes";
    button?.setAttribute("aria-disabled", "true");
    if (button) button.textContent = "Sending …";
    const restore = () => {
      delete form.dataset.sending;
      button?.removeAttribute("aria-disabled");
      if (button) button.textContent = words;
    };
    try {
      const answer = await fetch(form.action || location.href, { method: "POST", body: new FormData(form), headers: { "X-Keep-Files": "yes" } });
      if (answer.headers.get("Content-Type")?.startsWith("application/json")) {
        const { location: next, detail } = await answer.json();
        if (next) return location.assign(next);
        refuse(form, detail || `The server answered ${answer.status}.`);
      } else if (answer.ok) takeAnswer(form, await answer.text());
      else refuse(form, `The server answered ${answer.status}. What you entered is still here; reload the page only if this does not change.`);
    } catch {
      refuse(form, "The server cannot be reached, or a file was changed after you chose it. What you entered is still here.");
    }
    restore();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-keep-files]") || event.defaultPrevented) return;
    event.preventDefault();
    if (!form.dataset.sending) send(form, event.submitter || form.querySelector("[type=submit]"));
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
    const form = event.target.closest?.("form[data-focus], #content-main > form");
    if (!form || event.target.tagName !== "TEXTAREA") return;
    event.preventDefault();
    const button = [...form.elements].find((one) => one.type === "submit" && isShown(one));
    button ? button.click() : form.requestSubmit();
  });

  // After everything else: the theme's own scripts put the focus into the first field of a new row.
  addEventListener("load", begin);
})();
