// The panel "Try it" on the pages of Models and versions: sends the request in the editor and shows the answer.
// Data is always inserted as text, never as markup.
"use strict";

(() => {
  const SLOW_MS = 1500;
  const LINE = 72;
  const ROWS = { least: 6, most: 18 };
  const MAX_INDENTED = 500_000; // characters; longer text is cut and not indented
  const MOST_DRAWN = 20; // answers; the rest is only in the JSON

  const { element, inWords, labelBars, partsOf } = window.rhAnswers;
  const find = (id) => document.getElementById(id);
  const form = find("rh-try-it");
  const editor = find("rh-try-body");
  const forms = find("rh-try-form");
  const routingKey = find("rh-try-key"); // on a Model's page
  const curl = find("rh-try-curl");
  const answer = find("rh-try-answer"); // only on pages of people who may send requests
  const buttons = form.querySelectorAll("button");
  const pictures = window.rhPictures; // on pages of tasks that read pictures
  const pictureDrop = form.querySelector("[data-picture-drop]");
  const { one: ONE, several: SEVERAL } = form.dataset; // the fields of a request with one item, or several
  const WORDS_ARE = { user: "User" }; // what is typed into the form of this name, if it is no text

  // Indents JSON without parsing its values: numbers stay as they are written, and each row stays on one line.
  function indented(json) {
    const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
    let at = 0;
    const value = (indent, isInList) => {
      const open = tokens[at++];
      if (open !== "[" && open !== "{") return open;
      const isList = open === "[";
      const items = [];
      while (tokens[at] !== "]" && tokens[at] !== "}") {
        const name = isList ? "" : `${tokens[at]}: `;
        if (!isList) at += 2;
        items.push(name + value(indent + "  ", isList));
        if (tokens[at] === ",") at++;
      }
      const close = tokens[at++];
      const line = open + items.join(", ") + close;
      const isShort = line.length <= LINE && !line.includes("\n") && (isList || isInList);
      const isRow = isList && !items.some((item) => item.startsWith("[") || item.startsWith("{"));
      if (isShort || isRow || !items.length) return line;
      return `${open}\n${items.map((item) => `${indent}  ${item}`).join(",\n")}\n${indent}${close}`;
    };
    return value("", false);
  }

  // The key is sent as a header, which may hold only these characters.
  const fitsHeader = (text) => /^[\x20-\x7e]*$/.test(text);

  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  function showCurl() {
    const { type, content, query } = request();
    const url = form.dataset.publicUrl + query;
    const lines = [`curl ${query ? quoted(url) : url}`, '-H "Authorization: Bearer $ROUNDHOUSE_KEY"'];
    if (routingKey?.value) lines.push(`-H ${quoted(`X-Routing-Key: ${routingKey.value}`)}`);
    const data = content instanceof File ? `--data-binary ${fileArgument(content.name)}` : `-d ${quoted(content)}`;
    lines.push(`-H 'Content-Type: ${type}'`, data);
    curl.textContent = lines.join(" \\\n  ");
  }

  const fileArgument = (name) => (/^[\w.-]+$/.test(name) ? `@${name}` : quoted(`@${name}`));

  // Each request form keeps its own draft. That of one text is the text itself, without the quotes of JSON.
  const wordsOf = ({ value, dataset }) => JSON.parse(dataset.body)[value];
  const words = new Set([...forms.options].filter((option) => typeof wordsOf(option) === "string").map(({ value }) => value));
  const isWords = (name) => words.has(name);
  const draftOf = (option) => (isWords(option.value) ? wordsOf(option) : indented(option.dataset.body));
  const drafts = new Map([...forms.options].map((option) => [option.value, draftOf(option)]));
  let shownForm = forms.value;

  // A picture is dropped instead of typed, and is the whole body: its options are in the address.
  const parts = form.querySelectorAll("[data-form]");
  const isPicture = (name) => pictureDrop && [...parts].some(({ dataset }) => dataset.form === name);
  // A row of a table has a field for each of its columns.
  const rowPlace = form.querySelector("[data-row-fields]");
  const rowForm = rowPlace && window.rhRowForm(rowPlace, wordsOf([...forms.options].find(({ value }) => value === ONE)), showCurl);
  const isRow = (name) => Boolean(rowForm) && name === ONE;
  const isJson = (name) => !isPicture(name) && !isRow(name) && !isWords(name);
  const optionParts = form.querySelector("[data-options]");
  const options = [...form.querySelectorAll("[data-option]")];
  const hasOptions = (name) => name === ONE && !isJson(name);
  const stated = () => (hasOptions(shownForm) ? options.filter(({ value }) => value).map(({ dataset, value }) => [dataset.option, value]) : []);

  function request() {
    if (isPicture(shownForm)) {
      const query = stated().length ? `?${new URLSearchParams(stated())}` : "";
      return { type: picture.file.type, content: picture.file, query };
    }
    const item = isRow(shownForm) ? rowForm.row() : editor.value;
    const numbers = Object.fromEntries(stated().map(([name, value]) => [name, Number(value)]));
    const content = isJson(shownForm) ? editor.value : JSON.stringify({ [shownForm]: item, ...numbers });
    return { type: "application/json", content, query: "" };
  }

  function changeForm() {
    drafts.set(shownForm, editor.value);
    shownForm = forms.value;
    showDraft();
  }

  function showDraft() {
    editor.value = drafts.get(shownForm);
    editor.classList.toggle("rh-mono", !isWords(shownForm));
    editor.labels[0].textContent = isWords(shownForm) ? WORDS_ARE[shownForm] ?? "Text" : "Request";
    for (const part of parts) part.hidden = part.dataset.form !== (isPicture(shownForm) || isRow(shownForm) ? shownForm : "");
    if (optionParts) optionParts.hidden = !hasOptions(shownForm);
    const least = shownForm in WORDS_ARE ? 1 : ROWS.least;
    editor.rows = Math.min(ROWS.most, Math.max(least, editor.value.split("\n").length));
    showCurl();
  }

  let isBusy = false;

  function setBusy(busy) {
    isBusy = busy;
    answer.setAttribute("aria-busy", busy);
    // Not `disabled`, which would take the focus from the button that was just pressed.
    for (const button of buttons) button.setAttribute("aria-disabled", busy);
  }

  async function send(isCheck) {
    if (isBusy || !answer) return;
    if (routingKey && !fitsHeader(routingKey.value)) {
      say("bad", "", "A routing key is sent as a header: use only unaccented letters, digits and punctuation.");
      return;
    }
    if (!isJson(shownForm) && ![...options, ...(rowForm?.inputs ?? [])].every((input) => input.reportValidity())) return;
    setBusy(true);
    say("busy", "", isCheck ? "Checking …" : `Sending to ${form.dataset.whom} …`);
    const slow = setTimeout(
      () => say("busy", "", "Still waiting. A version that is not in memory is loaded first …"),
      SLOW_MS,
    );
    const started = performance.now();
    const sent = request();
    try {
      const response = await ask(isCheck, sent);
      const text = await response.text();
      clearTimeout(slow);
      show(response, text, isCheck, performance.now() - started, sent);
    } catch {
      say("bad", "", "The server cannot be reached. Check that it is running and that you are connected.");
    } finally {
      clearTimeout(slow);
      setBusy(false);
      answer.scrollIntoView({ block: "nearest" });
    }
  }

  function ask(isCheck, { type, content, query }) {
    const headers = {
      "Content-Type": type,
      "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
    };
    if (routingKey?.value) headers["X-Routing-Key"] = routingKey.value;
    const dryRun = isCheck ? `${query ? "&" : "?"}dry_run=1` : "";
    return fetch(form.action + query + dryRun, {
      method: "POST",
      body: content,
      headers,
      redirect: "manual", // to the login page, if the session has ended
    });
  }

  function show(response, text, isCheck, tookMs, sent) {
    const status = response.status ? `${response.status} ${response.statusText}`.trim() : "";
    if (response.type === "opaqueredirect") {
      say("bad", "", "Your session has ended. Reload this page and log in again.");
      return;
    }
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      say("bad", status, "The answer is not JSON. A proxy between this page and Roundhouse may have sent it.");
      return;
    }
    if (response.ok) {
      say("good", status, sentenceOf(data, isCheck));
      list(factsOf(data, tookMs));
      drawAnswers(data, sent);
      showText(text);
    } else {
      say("bad", status, refusalOf(data));
      list([...(data.errors ?? []).flatMap(fieldFacts), ["Time", inMs(tookMs)], ["Request id", data.request_id]]);
    }
  }

  const sentenceOf = (data, isCheck) =>
    isCheck ? `Valid for version ${data.version}.` : `Version ${data.version} answered.`;

  const factsOf = (data, tookMs) => [
    ["Time", inMs(tookMs)],
    ["Version", data.version],
    ["Arm", data.arm || "none (called by version number)"],
    ["Split", data.split || "none"],
    // A check has no id: nothing was answered.
    ["Request id", data.request_id, data.request_id && form.dataset.story + encodeURIComponent(data.request_id)],
  ];

  function refusalOf(data) {
    if (data.detail?.startsWith("CSRF Failed")) {
      return "This page is older than your session. Reload it and send again.";
    }
    return data.detail ?? "The request was refused.";
  }

  const fieldFacts = (error) => [
    ["Field", error.pointer?.replace(/^#\//, "").replaceAll("/", " → ")],
    ["Expected", error.expected],
    ["Got", error.got],
  ];

  const inMs = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`);

  function say(state, status, sentence) {
    const chip = document.createElement("span");
    chip.className = "rh-answer-status";
    chip.textContent = status;
    const said = document.createElement("span");
    said.className = "rh-answer-said";
    said.textContent = sentence;
    answer.dataset.state = state;
    answer.querySelector("[role=status]").replaceChildren(...(status ? [chip, said] : [said]));
    list([]);
    drawn.replaceChildren();
    showText("");
  }

  // Bars for labels, marks in the text for entities, boxes on the picture for objects, tables of what was ranked, numbers.
  const drawn = answer?.querySelector(".rh-answers");
  const isDrawn = (one) => ["labels", "entities", "objects", "items", "indices", "value"].some((name) => (one[name] ?? null) !== null);

  function drawAnswers(data, sent) {
    const { items, candidates } = itemsOf(sent);
    const answers = (data.answers ?? [data]).filter(isDrawn);
    drawn.replaceChildren(
      ...answers.slice(0, MOST_DRAWN).map((one, at) => drawnAnswer(one, items[at] ?? "", candidates[at], items.length > 1)),
    );
  }

  // The items of a request, or the files of its pictures; nothing for one that is named by its URL.
  function itemsOf({ content }) {
    if (content instanceof File) return { items: [content], candidates: [] };
    const fields = JSON.parse(content);
    const items = fields[SEVERAL] ?? [fields[ONE]];
    if (pictureDrop) return { items: items.map((item) => pictures.fileOf(item, "picture")), candidates: [] };
    return { items, candidates: (SEVERAL in fields ? fields.candidates : [fields.candidates]) ?? [] };
  }

  function drawnAnswer(one, item, candidates, isOneOfMany) {
    const block = element("div", "rh-answers-one");
    if (one.objects) block.append(...annotatedParts(one, item));
    else if (pictureDrop) {
      if (isOneOfMany) block.append(pictures.frameOf(one, item));
      block.append(labelBars(one.labels), ...pictures.notesOn(one, item));
    } else {
      if (isOneOfMany && !one.entities) block.append(element("p", "rh-answers-text", inWords(item)));
      block.append(...partsOf(one, item, candidates));
    }
    if (one.tokens_used < one.tokens_given) {
      block.append(element("p", "rh-problem", `The model read ${one.tokens_used} of ${one.tokens_given} tokens; the rest was cut off.`));
    }
    return block;
  }

  function annotatedParts(one, file) {
    const picture = pictures.annotated(one, file);
    return one.objects.length ? [pictures.leastSlider([picture]), picture.block] : [picture.block];
  }

  function list(facts) {
    const known = facts.filter(([, value]) => value !== undefined && value !== null && value !== "");
    const shown = answer.querySelector("dl");
    shown.hidden = !known.length;
    shown.replaceChildren(...known.map(([name, value, address]) => {
      const pair = document.createElement("div");
      for (const [tag, words] of [["dt", name], ["dd", value]]) {
        const cell = document.createElement(tag);
        cell.textContent = typeof words === "string" ? words : JSON.stringify(words);
        pair.append(cell);
      }
      if (name === "Request id") pair.lastChild.replaceWith(copied(value));
      if (address) linkTo(pair.querySelector("span") ?? pair.lastChild, address);
      return pair;
    }));
  }

  function copied(requestId) {
    const cell = document.createElement("dd");
    cell.className = "rh-copied";
    const text = document.createElement("span");
    text.id = "rh-try-request-id";
    text.textContent = requestId;
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "rh-button rh-copy", textContent: "Copy" });
    button.dataset.copy = `#${text.id}`;
    button.setAttribute("aria-label", "Copy the request id");
    cell.append(text, button);
    return cell;
  }

  function linkTo(cell, address) {
    const link = document.createElement("a");
    link.className = "rh-link";
    link.href = address;
    link.title = "The story of this request";
    link.append(...cell.childNodes);
    cell.append(link);
  }

  function showText(text) {
    const place = answer.querySelector("pre");
    place.hidden = !text;
    place.textContent = !text
      ? ""
      : text.length <= MAX_INDENTED
        ? indented(text)
        : `${text.slice(0, MAX_INDENTED)}\n… cut here: the answer has ${text.length} characters.`;
    place.scrollTop = 0;
  }

  const picture = pictureDrop && window.rhPictureDrop(pictureDrop, showCurl);
  showDraft();
  forms.addEventListener("change", changeForm);
  editor.addEventListener("input", showCurl);
  routingKey?.addEventListener("input", showCurl);
  for (const option of options) option.addEventListener("input", showCurl);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      send(false);
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(false);
  });
  form.querySelector("[data-check]")?.addEventListener("click", () => send(true));
})();
