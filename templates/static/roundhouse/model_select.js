// Makes a field for a Model's name searchable: `<input data-models="/address/">` lists what matches while one types, says early
// that there is no such Model and what was probably meant, and offers to create it (`data-may-create`) where that is possible.
// Without JavaScript it stays a text field, with a datalist.
"use strict";

(() => {
  const WAIT_MS = 150;
  const NAME = /^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/;

  class ModelSelect {
    constructor(input) {
      this.input = input;
      this.found = { models: [], near: "", more: false };
      this.options = []; // what the list shows
      this.active = -1;
      input.removeAttribute("list");
      const id = `${input.id}-models`;
      this.list = Object.assign(document.createElement("ul"), { id, className: "rh-options", hidden: true });
      this.list.setAttribute("role", "listbox");
      this.list.setAttribute("aria-label", "Models");
      this.said = Object.assign(document.createElement("p"), { id: `${id}-said`, className: "rh-options-said" });
      this.said.setAttribute("role", "status");
      const box = Object.assign(document.createElement("div"), { className: "rh-combobox" });
      input.replaceWith(box);
      box.append(input, this.said, this.list); // the list opens below what is said
      for (const [name, value] of Object.entries({
        role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id, autocomplete: "off",
      })) input.setAttribute(name, value);
      input.setAttribute("aria-describedby", `${input.getAttribute("aria-describedby") || ""} ${this.said.id}`.trim());
      input.addEventListener("input", () => this.type());
      input.addEventListener("keydown", (event) => this.press(event));
      input.addEventListener("click", () => this.list.hidden && this.search(true));
      input.addEventListener("blur", () => this.dismiss());
      input.form?.addEventListener("submit", () => this.dismiss());
      this.list.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus in the field
      this.list.addEventListener("click", (event) => {
        const option = event.target.closest("[role=option]");
        if (option) this.choose(this.options[[...this.list.children].indexOf(option)]);
      });
      this.said.addEventListener("click", (event) => {
        const use = event.target.closest("button")?.dataset;
        if (use) this.choose({ slug: use.slug, isNew: use.isNew === "yes" });
      });
      if (input.value) this.search(false);
    }

    get mayCreate() {
      return this.input.dataset.mayCreate === "yes";
    }

    get isCreating() {
      return this.input.dataset.creating === "yes";
    }

    type() {
      this.input.removeAttribute("aria-invalid");
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.search(true), WAIT_MS);
    }

    async search(isOpen) {
      const text = this.input.value.trim();
      this.isWanted = isOpen;
      clearTimeout(this.waiting);
      this.waiting = 0;
      this.request?.abort();
      const own = (this.request = new AbortController());
      try {
        const query = new URLSearchParams({ q: text });
        const answer = await fetch(`${this.input.dataset.models}?${query}`, { signal: own.signal, redirect: "error" });
        if (!answer.ok) throw new Error();
        this.found = await answer.json();
      } catch (error) {
        if (error.name !== "AbortError") this.close(); // the field still works as a text field
        return;
      }
      this.tell(text);
      if (this.isWanted && document.activeElement === this.input) this.open(text);
    }

    isExact(text) {
      return this.found.models.some((model) => model.slug === text);
    }

    optionsFor(text) {
      const known = this.found.models.map((model) => ({ ...model, isNew: false }));
      const near = this.found.near && !this.isExact(text) && !known.some((one) => one.slug === this.found.near) ? [{ slug: this.found.near, title: "did you mean this?", isNew: false }] : [];
      const create = this.mayCreate && NAME.test(text) && !this.isExact(text) ? [{ slug: text, isNew: true }] : [];
      return [...known, ...near, ...create];
    }

    open(text) {
      this.options = this.optionsFor(text);
      this.list.replaceChildren(...this.options.map((option, place) => {
        const line = Object.assign(document.createElement("li"), { id: `${this.list.id}-${place}` });
        line.setAttribute("role", "option");
        line.setAttribute("aria-selected", "false");
        const name = document.createElement("b");
        name.textContent = option.isNew ? `Create Model “${option.slug}”` : option.slug;
        line.append(name);
        if (option.title) line.append(Object.assign(document.createElement("small"), { textContent: option.title }));
        return line;
      }));
      this.active = -1;
      this.input.removeAttribute("aria-activedescendant");
      this.list.hidden = !this.options.length || (this.options.length === 1 && this.options[0].slug === text && !this.options[0].isNew);
      this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    }

    close() {
      this.list.hidden = true;
      this.active = -1;
      this.input.setAttribute("aria-expanded", "false");
      this.input.removeAttribute("aria-activedescendant");
    }

    // Also keeps a search that has not been answered from opening the list, which would cover what is said below the field.
    dismiss() {
      this.close();
      this.isWanted = false;
      if (this.waiting) this.search(false);
    }

    move(to) {
      const lines = [...this.list.children];
      if (!lines.length) return;
      this.active = (to + lines.length) % lines.length;
      lines.forEach((line, place) => line.setAttribute("aria-selected", String(place === this.active)));
      lines[this.active].scrollIntoView({ block: "nearest" });
      this.input.setAttribute("aria-activedescendant", lines[this.active].id);
    }

    async press(event) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (this.list.hidden) await this.search(true);
        if (!this.list.hidden) this.move(event.key === "ArrowDown" ? this.active + 1 : this.active < 0 ? -1 : this.active - 1);
      } else if (event.key === "Escape" && !this.list.hidden) {
        event.preventDefault();
        this.close();
      } else if (event.key === "Enter" && !this.list.hidden && this.active >= 0) {
        event.preventDefault(); // chooses; the next Enter submits
        this.choose(this.options[this.active]);
      }
    }

    choose(option) {
      this.input.value = option.slug;
      this.close();
      this.input.dispatchEvent(new CustomEvent("rh:model", { bubbles: true, detail: option }));
      this.input.dispatchEvent(new Event("change", { bubbles: true }));
      this.search(false);
      this.input.focus();
    }

    // What is wrong with the name, before anything is sent.
    tell(text) {
      const offer = (slug, isNew, words) => {
        const button = Object.assign(document.createElement("button"), { type: "button", className: "rh-link", textContent: words });
        Object.assign(button.dataset, { slug, isNew: isNew ? "yes" : "no" });
        return button;
      };
      const { models, more, near } = this.found;
      const parts = [];
      if (this.isCreating) {
        if (this.isExact(text)) parts.push(`There is already a Model “${text}”. `, offer(text, false, "Add the next version to it"));
        else if (near) parts.push(`There is a Model with a similar name: `, offer(near, false, near));
      } else if (text && !this.isExact(text) && !models.length) {
        if (!this.input.hasAttribute("aria-invalid")) parts.push(`There is no Model “${text}”, or you may not see it. `);
        if (near) parts.push("Did you mean ", offer(near, false, near), "? ");
        if (this.mayCreate && NAME.test(text)) parts.push(offer(text, true, `Create Model “${text}”`));
      } else if (more && !this.isExact(text)) parts.push("More Models match; type more of the name.");
      this.said.replaceChildren(...parts);
    }
  }

  function enhance(root) {
    for (const input of root.querySelectorAll("input[data-models]:not([role=combobox])")) input.modelSelect = new ModelSelect(input);
  }

  enhance(document);
  document.addEventListener("rh:swapped", (event) => enhance(event.detail));
})();
