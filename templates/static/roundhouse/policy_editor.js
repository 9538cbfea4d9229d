// The editor of a policy's draft: a card for each rule. The page holds the draft as JSON; saving sends the whole document,
// which the server checks. What it refuses is shown at the field, and nothing that was typed is lost.
"use strict";

(() => {
  const root = document.querySelector("[data-policy-editor]");
  if (!root) return;
  const data = JSON.parse(document.getElementById("rh-policy-data").textContent);
  const form = root.querySelector("[data-editor-form]");
  const list = root.querySelector("[data-rules]");
  const said = root.querySelector("[data-said]");
  const refused = root.querySelector("[data-refused]");
  const undo = root.querySelector("[data-undo]");
  const json = root.querySelector("#rh-policy-json");
  const preview = root.querySelector("[data-preview]");
  const CUT_OFFS = ["note", "review", "block"];
  const TEXT_PARTS = ["text", "title"];
  const LISTS = {
    words: { field: "entries", title: "Words and phrases", help: "One on each line. Look-alike letters and spaced-out spellings are found too.", one: "entry", many: "entries" },
    patterns: { field: "patterns", title: "Patterns", help: "One regular expression on each line.", one: "pattern", many: "patterns" },
    hashes: { field: "hashes", title: "Hashes of pictures", help: "One on each line: SHA-256, MD5 or PDQ.", one: "hash", many: "hashes" },
  };
  const NEW = {
    detector: { kind: "detector", name: "", code: "", detector: "", review: 0.7 },
    words: { kind: "words", name: "", code: "", entries: [], effect: "review" },
    patterns: { kind: "patterns", name: "", code: "", patterns: [], effect: "review" },
    hashes: { kind: "hashes", name: "", code: "", hashes: [], effect: "review" },
  };
  const EFFECTS = { note: "noted", review: "sent to review", block: "blocked" };
  let edits = data.edits;
  let clean = ""; // the document as it was saved last
  let removed = []; // of rules, with where they were
  let isSending = false;

  const clone = (id) => document.getElementById(id).content.cloneNode(true);
  const cards = () => [...list.children];
  const lines = (text) => text.split("\n").map((line) => line.replace(/\r$/, "")).filter((line) => line.trim());
  const commas = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  const field = (card, name) => card.querySelector(`[data-field="${name}"]`);
  const valueOf = (card, name) => field(card, name)?.querySelector("[data-value]");
  const tell = (text) => { said.textContent = text; };

  function option(value, text, isChosen) {
    const made = new Option(text, value, isChosen, isChosen);
    return made;
  }

  // --- detectors

  const split = (detector) => { const [slug, alias = ""] = detector.split("@"); return { slug, alias }; };
  const choiceOf = (slug) => data.detectors.find((one) => one.slug === slug);

  function fillDetectors(select, slug, choices) {
    select.replaceChildren(option("", choices.length ? "Choose a Model…" : "There is no Model that can be a detector", !slug));
    if (slug && !choices.some((one) => one.slug === slug)) select.append(option(slug, `${slug} (cannot be asked)`, true));
    for (const one of choices) {
      const live = one.version === null ? "no live version" : `version ${one.version}`;
      select.append(option(one.slug, `${one.slug}${one.title ? `, ${one.title}` : ""} (${one.task}, ${live})`, one.slug === slug));
    }
  }

  function showDetector(card, rule) {
    const { slug, alias } = split(rule.detector || "");
    const choice = choiceOf(slug);
    const aliases = card.querySelector("[data-alias] select");
    aliases.replaceChildren(option("", "whatever is live", !alias));
    for (const name of new Set([...(choice?.aliases || []), ...(alias ? [alias] : [])])) aliases.append(option(name, `alias ${name}`, name === alias));
    const chosen = rule.labels || [];
    const known = choice?.labels || [];
    const box = card.querySelector("[data-labels]");
    box.replaceChildren(...[...known, ...chosen.filter((label) => !known.includes(label))].map((label) => {
      const line = document.createElement("label");
      const tick = document.createElement("input");
      tick.type = "checkbox";
      tick.value = label;
      tick.checked = chosen.includes(label);
      const name = document.createElement("bdi");
      name.textContent = label;
      line.append(tick, " ", name);
      if (known.length && !known.includes(label)) line.append(` (version ${choice.version} has no such label)`);
      return line;
    }));
    if (!box.children.length) box.textContent = choice ? "The live version names no labels." : "Choose a detector first.";
    card.querySelector("[data-detector-said]").textContent = choice ? `It reads ${choice.reads.join(" and ")}.` : "A Model that tells labels of texts or pictures, entities, or objects.";
  }

  const readsTexts = (card) => card.kind === "words" || card.kind === "patterns" || (card.kind === "detector" && !choiceOf(valueOf(card, "detector").value)?.reads.includes("image"));

  // --- a card

  let fields = 0;

  // Names each field, and says its help text with it.
  function label(place) {
    for (const part of place.querySelectorAll(".rh-field")) {
      const control = part.querySelector(":scope > .rh-input");
      const help = part.querySelector(":scope > small");
      const target = control || (part.matches("fieldset") ? part : part.querySelector(":scope input"));
      fields += 1;
      if (control) {
        control.id ||= `rh-field-${fields}`;
        part.querySelector(":scope > label").htmlFor = control.id;
      }
      if (help && target) {
        help.id ||= `rh-help-${fields}`;
        target.setAttribute("aria-describedby", help.id);
      }
    }
  }

  function makeCard(rule) {
    const card = clone("rh-rule-card").firstElementChild;
    card.kind = rule.kind;
    card.original = rule;
    const own = card.querySelector("[data-own]");
    own.append(clone(rule.kind === "detector" ? "rh-rule-detector" : "rh-rule-list"));
    if (rule.kind !== "detector") prepareList(card, rule);
    for (const name of ["name", "code", "note_to_editors"]) valueOf(card, name).value = rule[name] || "";
    valueOf(card, "state").value = rule.state || "on";
    valueOf(card, "languages").value = (rule.languages || []).join(", ");
    const reads = rule.reads?.length ? rule.reads : TEXT_PARTS;
    for (const tick of field(card, "reads").querySelectorAll("input")) tick.checked = reads.includes(tick.value);
    if (rule.kind === "detector") prepareDetector(card, rule);
    label(card);
    connect(card);
    summarize(card);
    return card;
  }

  function prepareList(card, rule) {
    const of = LISTS[rule.kind];
    const text = card.querySelector("[data-list]");
    text.dataset.field = of.field;
    text.querySelector("[data-list-title]").textContent = of.title;
    text.querySelector("[data-list-help]").textContent = of.help;
    text.querySelector("textarea").value = (rule[of.field] || []).join("\n");
    valueOf(card, "effect").value = rule.effect || "review";
    valueOf(card, "anywhere").checked = Boolean(rule.anywhere);
    valueOf(card, "distance").value = rule.distance ?? data.distance;
    if (rule.kind !== "words") field(card, "anywhere").remove();
    if (rule.kind !== "hashes") field(card, "distance").remove();
    text.querySelector("[data-add-file]").addEventListener("click", () => chooseFile(card));
    count(card);
  }

  function count(card) {
    const of = LISTS[card.kind];
    const number = lines(valueOf(card, of.field).value).length;
    card.querySelector("[data-count]").textContent = `${number.toLocaleString("en")} ${number === 1 ? of.one : of.many}.`;
  }

  // The field is made when it is needed: the theme's script would follow one that is on the page, and fail.
  function chooseFile(card) {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = ".txt,.csv,text/plain";
    input.addEventListener("change", () => { if (input.files.length) addFromFile(card, input.files[0]); });
    input.click();
  }

  async function addFromFile(card, file) {
    const of = LISTS[card.kind];
    const area = valueOf(card, of.field);
    const present = lines(area.value);
    const known = new Set(present);
    let found;
    try {
      found = lines(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()));
    } catch {
      tell(`${file.name} is not a text file in UTF-8; nothing was added.`);
      return;
    }
    const added = [...new Set(found)].filter((line) => !known.has(line));
    area.value = [...present, ...added].join("\n");
    count(card);
    changed(card);
    tell(`${added.length.toLocaleString("en")} ${added.length === 1 ? of.one : of.many} added from ${file.name}; ${(found.length - added.length).toLocaleString("en")} were there already.`);
  }

  function prepareDetector(card, rule) {
    fillDetectors(valueOf(card, "detector"), split(rule.detector || "").slug, data.detectors);
    showDetector(card, rule);
    for (const name of CUT_OFFS) {
      const line = card.querySelector(`[data-cut-off=${name}]`);
      const [tick, slider, number] = line.querySelectorAll("input");
      const show = (value) => {
        tick.checked = value !== null;
        slider.disabled = number.disabled = value === null;
        if (value !== null) { slider.value = value; number.value = value; } else number.value = "";
        slider.setAttribute("aria-valuetext", value === null ? "never" : String(value));
      };
      show(rule[name] ?? null);
      tick.addEventListener("change", () => show(tick.checked ? Number(line.dataset.last || { note: 0.5, review: 0.7, block: 0.9 }[name]) : null));
      slider.addEventListener("input", () => show(Number(slider.value)));
      number.addEventListener("input", () => { if (number.value !== "") slider.value = line.dataset.last = number.value; });
    }
  }

  function connect(card) {
    card.addEventListener("input", () => changed(card));
    card.addEventListener("change", (event) => {
      if (event.target === valueOf(card, "detector")) {
        showDetector(card, { detector: event.target.value, labels: [] });
        for (const tick of field(card, "reads").querySelectorAll("input")) tick.checked = true;
      }
      changed(card);
    });
    card.querySelector("[data-up]").addEventListener("click", (event) => move(card, -1, event.target));
    card.querySelector("[data-down]").addEventListener("click", (event) => move(card, 1, event.target));
    card.querySelector("[data-duplicate]").addEventListener("click", () => duplicate(card));
    card.querySelector("[data-remove]").addEventListener("click", () => remove(card));
  }

  // What is not said is the same as the usual value, so that a draft that says the same as a revision is equal to it.
  function put(rule, card, name, value, usual) {
    if (name in card.original || !same(value, usual)) rule[name] = value;
  }

  function read(card) {
    const rule = { kind: card.kind, name: valueOf(card, "name").value.trim(), code: valueOf(card, "code").value.trim() };
    put(rule, card, "state", valueOf(card, "state").value, "on");
    if (card.kind === "detector") readDetector(card, rule);
    else readList(card, rule);
    put(rule, card, "languages", commas(valueOf(card, "languages").value), []);
    if (readsTexts(card)) {
      const reads = [...field(card, "reads").querySelectorAll("input:checked")].map((tick) => tick.value);
      const before = card.original.reads;
      // The order of the parts means nothing.
      if (before && same([...before].sort(), [...reads].sort())) rule.reads = before;
      else put(rule, card, "reads", reads, TEXT_PARTS);
    } else if (card.kind === "detector" && choiceOf(valueOf(card, "detector").value)) put(rule, card, "reads", choiceOf(valueOf(card, "detector").value).reads, null);
    put(rule, card, "note_to_editors", valueOf(card, "note_to_editors").value, "");
    return rule;
  }

  function readDetector(card, rule) {
    const alias = card.querySelector("[data-alias] select").value;
    const slug = valueOf(card, "detector").value;
    rule.detector = alias && slug ? `${slug}@${alias}` : slug;
    const labels = [...card.querySelectorAll("[data-labels] input:checked")].map((tick) => tick.value);
    const before = card.original.labels;
    if (before && same([...before].sort(), [...labels].sort())) rule.labels = before;
    else put(rule, card, "labels", labels, []);
    for (const name of CUT_OFFS) {
      const [tick, , number] = card.querySelectorAll(`[data-cut-off=${name}] input`);
      put(rule, card, name, tick.checked && number.value !== "" ? Number(number.value) : null, null);
    }
  }

  function readList(card, rule) {
    const of = LISTS[card.kind];
    rule[of.field] = lines(valueOf(card, of.field).value);
    rule.effect = valueOf(card, "effect").value;
    if (card.kind === "words") put(rule, card, "anywhere", valueOf(card, "anywhere").checked, false);
    if (card.kind === "hashes") {
      const distance = valueOf(card, "distance").value;
      put(rule, card, "distance", distance === "" ? data.distance : Number(distance), data.distance);
    }
  }

  function sentence(card) {
    const rule = read(card);
    const scope = rule.languages?.length ? ` in ${rule.languages.join(", ")}` : "";
    if (card.kind !== "detector") {
      const of = LISTS[card.kind];
      const number = rule[of.field].length;
      return `${number.toLocaleString("en")} ${number === 1 ? of.one : of.many}${scope}, ${EFFECTS[rule.effect]}`;
    }
    const labels = rule.labels?.length ? rule.labels.slice(0, 4).join(", ") + (rule.labels.length > 4 ? "…" : "") : "all labels";
    const effects = CUT_OFFS.filter((name) => rule[name] !== null && rule[name] !== undefined).map((name) => `${name} above ${rule[name]}`);
    return `${rule.detector || "no detector"}: ${labels}${scope}; ${effects.join(", ") || "no cut-off"}`;
  }

  function summarize(card) {
    const name = valueOf(card, "name").value || "new rule";
    const state = valueOf(card, "state").value;
    card.querySelector("[data-title]").textContent = name;
    card.querySelector("[data-sentence]").textContent = sentence(card);
    const badge = card.querySelector("[data-state-badge]");
    badge.textContent = state;
    badge.hidden = state === "on";
    for (const [part, verb] of [["up", "Move up"], ["down", "Move down"], ["duplicate", "Duplicate"], ["remove", "Remove"]]) card.querySelector(`[data-${part}]`).setAttribute("aria-label", `${verb}: ${name}`);
    for (const part of card.querySelectorAll("[data-of-texts]")) part.hidden = !readsTexts(card);
  }

  function changed(card) {
    if (card) {
      if (card.kind !== "detector") count(card);
      summarize(card);
    }
    showState();
  }

  // --- the list

  function showState() {
    const all = cards();
    root.querySelector("[data-no-rules]").hidden = all.length > 0;
    all.forEach((card, place) => {
      card.querySelector("[data-up]").disabled = place === 0;
      card.querySelector("[data-down]").disabled = place === all.length - 1;
    });
    for (const button of root.querySelectorAll("[data-add]")) button.disabled = all.length >= data.most_rules;
    if (isDirty() && !isSending) tell("Not saved yet.");
    undo.hidden = removed.length === 0;
  }

  function insert(card, before = null) {
    list.insertBefore(card, before);
    showState();
  }

  function freeName(wanted) {
    const taken = new Set(cards().map((card) => valueOf(card, "name").value));
    let number = 2;
    while (taken.has(`${wanted}-${number}`)) number += 1;
    return `${wanted}-${number}`;
  }

  function open(card, part = valueOf(card, "name")) {
    card.querySelector("[data-card]").open = true;
    part.focus();
    card.scrollIntoView({ block: "nearest" });
  }

  function move(card, by, button) {
    const all = cards();
    const to = all.indexOf(card) + by;
    if (to < 0 || to >= all.length) return;
    list.insertBefore(card, by < 0 ? all[to] : all[to].nextElementSibling);
    showState();
    (button.disabled ? card.querySelector(by < 0 ? "[data-down]" : "[data-up]") : button).focus();
    tell(`${valueOf(card, "name").value || "The rule"} is number ${to + 1} of ${all.length} now. The order decides nothing.`);
  }

  function duplicate(card) {
    const rule = read(card);
    const copy = makeCard({ ...rule, name: freeName(rule.name || "rule") });
    insert(copy, card.nextElementSibling);
    open(copy);
  }

  function remove(card) {
    removed.push({ rule: read(card), original: card.original, place: cards().indexOf(card) });
    card.remove();
    showState();
    undo.focus();
    tell(`${removed.at(-1).rule.name || "The rule"} is removed. It is gone when you save.`);
  }

  undo.addEventListener("click", () => {
    const { rule, original, place } = removed.pop();
    const card = makeCard(rule);
    card.original = original;
    insert(card, cards()[place] || null);
    card.querySelector("summary").focus();
    tell(`${rule.name || "The rule"} is back.`);
  });

  for (const button of root.querySelectorAll("[data-add]")) {
    button.addEventListener("click", () => {
      const card = makeCard({ ...NEW[button.dataset.add] });
      insert(card);
      open(card);
    });
  }

  // --- the whole document

  const general = (name) => root.querySelector(`[data-general] [data-field="${name}"] [data-value]`);

  function documentOf() {
    const content = { ...data.content, rules: cards().map(read) }; // also what has no field here, such as `review`
    for (const name of ["default_language", "language_detector"]) {
      const value = general(name).value.trim();
      if (value || name in data.content) content[name] = value;
    }
    return content;
  }

  const isDirty = () => JSON.stringify(documentOf()) !== clean;

  function show(content) {
    data.content = content;
    list.replaceChildren(...(content.rules || []).map(makeCard));
    general("default_language").value = content.default_language || "";
    fillDetectors(general("language_detector"), content.language_detector || "", data.detectors.filter((one) => one.task === "text-classification"));
    if (general("language_detector").options[0]) general("language_detector").options[0].text = "none";
    document.getElementById("rh-codes").replaceChildren(...[...new Set((content.rules || []).map((rule) => rule.code))].map((code) => option(code, code, false)));
    removed = [];
  }

  function warn(warnings) {
    for (const card of cards()) {
      card.querySelector("[data-warned]").hidden = true;
      card.querySelector("[data-warned]").textContent = "";
    }
    for (const { place, sentence: text } of warnings) {
      const warned = cards()[place[1]]?.querySelector("[data-warned]");
      if (!warned) continue;
      warned.textContent += `${warned.textContent ? " " : ""}${text}`;
      warned.hidden = false;
    }
  }

  function clearProblems() {
    refused.hidden = true;
    for (const problem of root.querySelectorAll("[data-problem]")) {
      problem.hidden = true;
      problem.textContent = "";
    }
    for (const wrong of root.querySelectorAll("[aria-invalid]")) wrong.removeAttribute("aria-invalid");
  }

  function refuse(text, link) {
    refused.textContent = text;
    if (link) {
      const other = document.createElement("a");
      other.className = "rh-link";
      other.href = location.href;
      other.target = "_blank";
      other.rel = "noopener";
      other.textContent = link;
      refused.append(" ", other);
    }
    refused.hidden = false;
    refused.scrollIntoView({ block: "center" });
  }

  // `place` leads to the field, as in ["rules", 2, "detector"]. What has no field of its own is shown above all rules.
  function showProblem(detail, place) {
    const [first, number, name] = place;
    const card = first === "rules" ? cards()[number] : null;
    const at = card ? (name && field(card, CUT_OFFS.includes(name) ? "review" : name)) || card : root.querySelector(`[data-general] [data-field="${first}"]`);
    const problem = at?.querySelector("[data-problem]");
    if (!problem) return refuse(detail);
    problem.textContent = detail;
    problem.hidden = false;
    at.closest("details")?.setAttribute("open", "");
    if (card) card.querySelector("[data-card]").open = true;
    const control = at.querySelector("[data-value], input, select, textarea");
    if (at !== card) control?.setAttribute("aria-invalid", "true");
    control?.focus({ preventScroll: true });
    at.scrollIntoView({ block: "center" });
    tell("Not saved: one field is wrong.");
    return undefined;
  }

  async function send(address, body) {
    const response = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value, Accept: "application/json" },
      body: JSON.stringify(body),
    });
    if (response.redirected || !response.headers.get("Content-Type")?.startsWith("application/json")) throw new Error(response.redirected ? "login" : String(response.status));
    return [response, await response.json()];
  }

  async function save() {
    clearProblems();
    const sent = documentOf();
    isSending = true;
    tell("Saving…");
    let response;
    let answer;
    try {
      [response, answer] = await send(data.save_url, { content: sent, expected: edits });
    } catch (error) {
      refuse(error.message === "login" ? "You are no longer logged in. What you typed is still here: log in on another tab, then save again." : "The server did not answer as expected. What you typed is still here; try again in a moment.");
      tell("Not saved.");
      return false;
    } finally {
      isSending = false;
    }
    if (!response.ok) {
      if (answer.is_stale) {
        refuse(`${answer.detail} What you typed is still here. Copy it below, under “As JSON”, before you reload.`, "Open their draft on another tab");
        tell("Not saved.");
      } else showProblem(answer.detail, answer.place || []);
      return false;
    }
    edits = answer.edits;
    data.content = answer.content;
    cards().forEach((card, place) => { if (same(read(card), sent.rules[place])) card.original = answer.content.rules[place]; });
    clean = JSON.stringify(documentOf());
    if (same(documentOf().rules.length, sent.rules.length)) removed = [];
    root.querySelector("[data-draft-title]").textContent = "Draft";
    root.querySelector("[data-draft-age]").textContent = answer.saved_by;
    tell(answer.said);
    warn(answer.warnings);
    showState();
    return true;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isSending) save();
  });
  form.addEventListener("keydown", (event) => { // Enter in a field would press the first button there is
    if (event.key === "Enter" && event.target.matches("input:not([type=checkbox]):not([type=file])")) {
      event.preventDefault();
      if (!isSending) save();
    }
  });
  root.querySelector("[data-general]").addEventListener("input", () => showState());

  root.querySelector("[data-preview-url]")?.addEventListener("click", async (event) => {
    if (isSending || (isDirty() && !(await save()))) return;
    try {
      const [response, answer] = await send(event.target.dataset.previewUrl, { expected: edits });
      if (!response.ok) return refuse(answer.detail);
      const fresh = document.createElement("template");
      fresh.innerHTML = answer.html; // from our own templates, which escape what people wrote
      preview.replaceChildren(fresh.content);
      document.dispatchEvent(new CustomEvent("rh:swapped", { detail: preview }));
      preview.scrollIntoView({ block: "nearest" });
    } catch {
      refuse("The preview could not be started; try again in a moment.");
    }
    return undefined;
  });

  // --- as JSON

  root.querySelector("[data-json]").addEventListener("toggle", (event) => {
    if (event.target.open) json.value = JSON.stringify(documentOf(), null, 2);
  });
  root.querySelector("[data-apply-json]").addEventListener("click", () => {
    const problem = root.querySelector("[data-json-problem]");
    problem.hidden = true;
    try {
      const content = JSON.parse(json.value);
      const known = Array.isArray(content?.rules) && content.rules.every((rule) => rule && typeof rule === "object" && rule.kind in NEW);
      if (!known) throw new Error("an object with `rules` is needed, each with a `kind`: detector, words, patterns or hashes");
      show(content);
      showState();
      tell("The rules are in the editor. They are not saved yet.");
    } catch (error) {
      problem.textContent = `This cannot be read: ${error.message}.`;
      problem.hidden = false;
    }
  });

  addEventListener("beforeunload", (event) => { if (isDirty()) event.preventDefault(); });

  label(root.querySelector("[data-general]"));
  show(data.content);
  clean = JSON.stringify(documentOf());
  warn(data.warnings);
  if (cards().length === 1) cards()[0].querySelector("[data-card]").open = true;
  showState();
  tell("");
})();
