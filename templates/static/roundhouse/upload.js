// Uploads a model and its weight files in parts, and resumes after a pause, a lost connection or a reload.
// The server's offset is authoritative; this page only remembers which upload belongs to which file.
"use strict";

(() => {
  const MOST_WAIT_S = 30;
  const TRIES = 12; // failures in a row without progress; then it pauses
  const SPEED_OVER_MS = 8000;
  const LABELS_SHOWN = 2000;
  const MOST_FILES = 8; // as many uploads as a person may have open
  const CHOOSE = "Choose an ONNX file or an .npz of embeddings, or drop it here";
  const NUMBERS = ["tensor", "classification"]; // tasks that use no files beside the model
  const PICTURES = ["image-classification", "object-detection"]; // tasks of which a model file may state much
  const TABLES = ["ranking", "tabular-classification", "tabular-regression"]; // tasks that read named columns
  const CONFIG_FIELDS = [
    "labels", "scores", "function", "long_texts", "patterns", "box_layout", "width", "height", "resize", "columns", "defaults",
    "item_ids", "fallback_user",
  ];
  const UNLABELLED = ["tensor", "recommendation", "ranking", "tabular-regression"];
  const FUNCTIONS = { // what is done if nothing is stated
    "tabular-classification": "none: the outputs are scores",
    ranking: "sigmoid",
  };
  const TRAINING_FIELDS = ["run_url", "git_commit", "data_set"];
  const IDS = ["users.txt", "items.txt"]; // beside a model that recommends
  const THE_FILE = "the file"; // where a value came from
  const ASK = {
    labels: "Enter the labels: the file does not name them.",
    box_layout: "Choose how the model’s outputs hold its boxes: the file does not state it.",
    width: "Enter the width of the model’s input: the file does not state it.",
    height: "Enter the height of the model’s input: the file does not state it.",
    resize: "Choose how a picture gets the input’s size: the file does not state it.",
  };
  const BESIDE = [".json", ".txt", ".md", ".model"]; // how the names of files end that are not weights
  const STATING = ["config.json", "tokenizer_config.json", "preprocessor_config.json"]; // they fill in a task configuration
  const MOST_STATED = 4 * 2 ** 20; // of a config.json that is read here; the server reads all
  const MOST_IN_FOLDER = 100;

  const page = document.getElementById("rh-upload");
  const form = document.getElementById("rh-upload-form");
  const { uploads: UPLOADS, models: MODELS, made: MADE } = page.dataset;
  const LARGEST = Number(page.dataset.largest);
  const PART = Number(page.dataset.part);
  const KEPT = page.dataset.kept.split(" ").filter(Boolean); // how the names of files end that a task keeps
  const FORMATS = JSON.parse(document.getElementById("rh-formats").textContent); // other than ONNX; those without `missing` are converted
  const token = form.elements.csrfmiddlewaretoken.value;
  const field = form.elements;
  const chooser = document.getElementById("rh-file");
  const drop = document.getElementById("rh-drop");
  const more = document.getElementById("rh-options");
  const training = document.getElementById("rh-training");
  const progress = form.querySelector(".rh-progress");
  const said = form.querySelector(".rh-said");
  const problem = form.querySelector("[role=alert]");
  const layoutHelp = document.getElementById("rh-layout-help");
  const LAYOUT_HELP = layoutHelp.textContent; // while none is chosen
  const send = form.querySelector("[type=submit]");
  const pause = form.querySelector("[data-pause]");
  const cancel = form.querySelector("[data-cancel]");

  let chosen = []; // all files; those that are needed are items
  let items = []; // {file, id, offset}: the model first; with an id, its upload has begun
  let current = null; // the item being sent
  let mayChange = ""; // the server has the model and needs more ("add") or other ("replace") weight files
  let state = "idle"; // idle, sending, paused, refused
  let request = null; // the part in flight
  let wake = null; // ends the wait before a retry
  let knownTask = "";
  let stated = {}; // of the task configuration, by a config.json among the files
  let statedBy = ""; // the task: which files name it
  let previous = {}; // the task configuration of the Model's newest version
  let suggested = null; // what the server read in the files: {key, task, config, missing}
  let isTaskChosen = false; // by the person
  let reading, looking; // promises: what start() waits for
  let missed = ""; // what the server said about weights that are missing
  const taken = {}; // values that this page filled in, so that it may change them again: {value, from} by field
  chooser.hasChangeListener = true; // the theme's listener expects a text field next to it, and fails

  // An error with the server's message; retrying would not help. `field`: what has to be changed.
  class Refusal extends Error {
    constructor(message, field) {
      super(message);
      this.field = field;
    }
  }

  const total = () => items.reduce((sum, one) => sum + one.file.size, 0);
  const sent = () => items.reduce((sum, one) => sum + one.offset, 0);
  const isSent = (one) => one.id && one.offset === one.file.size;
  const hasBegun = () => items.some((one) => one.id);

  // --- remembered between reloads

  const PREFIX = `rh-upload:${page.dataset.person}:`;
  const mark = (one) => `${PREFIX}${one.name}|${one.size}|${one.lastModified}`;

  const kept = {
    get(key) {
      try {
        return JSON.parse(localStorage.getItem(key));
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        localStorage.setItem(key, JSON.stringify(value));
      } catch {
        // Private windows and full storage: the upload works, but cannot be resumed after a reload.
      }
    },
    forget(key) {
      try {
        localStorage.removeItem(key);
      } catch {
        // as above
      }
    },
    keys() {
      try {
        return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
      } catch {
        return [];
      }
    },
  };

  // --- requests to the server

  const headers = (more = {}) => ({ "X-CSRFToken": token, Accept: "application/json", ...more });

  async function ask(method, address, body, more) {
    try {
      const type = body === undefined ? {} : { "Content-Type": "application/json" };
      const answer = await fetch(address, { method, headers: headers({ ...type, ...more }), body: JSON.stringify(body) });
      return { status: answer.status, data: await answer.json().catch(() => ({})) };
    } catch {
      return { status: 0, data: {} };
    }
  }

  // Not fetch: it has no upload progress.
  function putPart(part, offset) {
    return new Promise((resolve) => {
      const xhr = new XMLHttpRequest();
      const end = () => {
        request = null;
        let data = {};
        try {
          data = JSON.parse(xhr.responseText);
        } catch {
          // no answer, or a proxy's page
        }
        resolve({ status: xhr.status, data });
      };
      xhr.open("PUT", `${UPLOADS}/${current.id}?offset=${offset}`);
      for (const [name, value] of Object.entries(headers({ "Content-Type": "application/octet-stream" }))) {
        xhr.setRequestHeader(name, value);
      }
      xhr.upload.onprogress = (event) => show(sent() + event.loaded);
      xhr.onload = xhr.onerror = xhr.onabort = end;
      request = xhr;
      xhr.send(part);
    });
  }

  const isRetryable = ({ status, data }) =>
    status === 0 || status === 408 || status === 429 || data.retryable === true || (status >= 500 && status !== 507);

  function messageOf({ status, data }) {
    if (status === 401 || status === 403) return data.detail || "You are no longer logged in. Log in again in another tab, then resume.";
    const fields = (data.errors || []).map((one) => `${one.pointer.replace(/^#\/?/, "")}: ${one.detail}`);
    return [data.detail || `The server answered ${status}.`, ...fields].join(" ");
  }

  // --- messages

  const MIB = 2 ** 20;
  const size = (bytes) => (bytes < 10 * 1024 ? `${bytes.toLocaleString("en")} bytes` : `${(bytes / MIB).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MiB`);

  function time(seconds) {
    if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }

  function tell(sentence) {
    if (said.textContent !== sentence) said.textContent = sentence;
  }

  function refuse(sentence, wrong) {
    problem.textContent = sentence;
    problem.hidden = !sentence;
    for (const old of form.querySelectorAll(`[aria-describedby~=${problem.id}]`)) { // model_select.js may have cleared aria-invalid
      old.removeAttribute("aria-invalid");
      old.setAttribute("aria-describedby", old.getAttribute("aria-describedby").replace(` ${problem.id}`, ""));
    }
    if (!sentence) return;
    if (!wrong) {
      form.querySelector(".rh-buttons").before(problem);
      return problem.scrollIntoView({ block: "nearest" });
    }
    wrong.setAttribute("aria-invalid", "true");
    wrong.setAttribute("aria-describedby", `${wrong.getAttribute("aria-describedby") || ""} ${problem.id}`);
    wrong.closest(".rh-field").append(problem); // next to the field
    wrong.scrollIntoView({ block: "center" });
    wrong.focus({ preventScroll: true });
  }

  let samples = [];
  let quarter = 0;

  function show(bytes) {
    const now = performance.now();
    const all = total();
    samples.push([now, bytes]);
    while (samples.length > 2 && samples[1][0] < now - SPEED_OVER_MS) samples.shift();
    const [since, from] = samples[0];
    const speed = now - since > 400 ? ((bytes - from) / (now - since)) * 1000 : 0;
    const figures = [`${size(bytes)} of ${size(all)}`];
    if (items.length > 1) figures.unshift(`${items.indexOf(current) + 1} of ${items.length} files`);
    if (state === "sending" && speed > 0 && bytes < all) figures.push(`${size(speed)}/s`, `${time((all - bytes) / speed)} left`);
    progress.hidden = false;
    progress.querySelector("progress").value = Math.floor((bytes / all) * 1000);
    progress.querySelector(".rh-figures").textContent = figures.join(" · ");
    // Screen readers announce only quarters.
    const reached = Math.floor((bytes / all) * 4);
    if (state === "sending" && reached > quarter && reached < 4) tell(`${reached * 25} % sent.`);
    quarter = Math.max(quarter, reached);
  }

  function become(next) {
    state = next;
    const isBusy = state === "sending";
    send.hidden = isBusy || state === "paused";
    send.textContent = items.length && items.every(isSent) ? "Create version" : "Upload";
    pause.hidden = !(isBusy || state === "paused");
    pause.textContent = state === "paused" ? "Resume" : "Pause";
    cancel.hidden = !hasBegun();
    chooser.disabled = isBusy || state === "paused" || (hasBegun() && !mayChange);
    drop.classList.toggle("rh-fixed", chooser.disabled);
  }

  // --- the files

  function choose(files) {
    if (!files.length || chooser.disabled) return;
    refuse("");
    let all = [...files];
    if (mayChange && !all.some(isMain)) {
      const names = new Set(all.map((one) => one.name));
      all = [...chosen.filter((one) => isMain(one) || (mayChange === "add" && !names.has(one.name))), ...all];
    }
    const wrong = whatIsWrong(all);
    if (wrong) {
      if (!mayChange) setFiles([]);
      return refuse(wrong);
    }
    setFiles([...all.filter(isMain), ...all.filter((one) => !isMain(one))]);
    const known = kept.get(mark(items[0].file));
    reading = readStated();
    reading.then(async () => {
      if (known && !mayChange) await fill(known.fields);
      if (known) start();
    });
  }

  const formatsOf = (one) => FORMATS.filter(({ endings }) => endings.some((end) => one.name.toLowerCase().endsWith(end)));
  const isConverted = (one) => formatsOf(one).some(({ missing: why }) => !why);
  // A .json or .txt alone is a model; with others, it belongs to one.
  const isAlone = (one, files = chosen) => files.length === 1 && files[0] === one && isConverted(one);
  const isBeside = (one) => !isAlone(one) && BESIDE.some((end) => one.name.toLowerCase().endsWith(end));

  // Of a whole folder only those files are sent that are weights, or that the task uses.
  function isNeeded(one) {
    if (!isBeside(one) || missed.includes(`'${one.name}'`)) return true;
    if (NUMBERS.includes(task())) return false;
    return STATING.includes(one.name) || KEPT.some((end) => one.name.endsWith(end)) || one.name === readSettings()?.tokenizer;
  }

  const isArchive = (one) => [".zip", ".npz"].some((end) => one.name.toLowerCase().endsWith(end));
  const isEmbeddings = (one) => one.name.toLowerCase().endsWith(".npz");
  const isBesideByName = (one) => BESIDE.some((end) => one.name.toLowerCase().endsWith(end));
  const isMain = (one) => one.name.toLowerCase().endsWith(".onnx") || isArchive(one) || (isConverted(one) && !isBesideByName(one));

  function whatIsWrong(files) {
    const mains = files.filter((one) => isMain(one) || isAlone(one, files));
    if (!mains.length && files.length === 1) {
      const [other] = formatsOf(files[0]);
      if (other) return `${files[0].name} may be a file in the format ${other.label}. ${other.missing}`;
      return `${files[0].name} is not an ONNX file, a zip or an .npz of embeddings. Export the model as ONNX, with a name ending in .onnx. Choose weight files together with the model.`;
    }
    if (!mains.length) return "None of these is an ONNX file. Choose the model too; its name ends with .onnx, or .npz for embeddings.";
    if (mains.length > 1) return "A version has one model. Choose one .onnx file with its weight files, one zip, or one .npz.";
    if (isArchive(mains[0]) && files.length > 1) {
      return isEmbeddings(mains[0]) ? "An .npz of embeddings holds the ids, too. Choose it alone." : "A zip contains the model and everything beside it. Choose it alone.";
    }
    const needed = files.filter(isNeeded);
    if (needed.length > MOST_FILES) return `You chose ${needed.length} files; the limit is ${MOST_FILES}. Put them into one zip.`;
    for (const one of needed) {
      if (one.size === 0) return `${one.name} is empty.`;
      if (one.size > LARGEST) return `${one.name} is ${size(one.size)}; the limit is ${size(LARGEST)}.`;
    }
    return "";
  }

  // Files that were already chosen keep their uploads; uploads of other files are cancelled.
  function setFiles(files) {
    const before = items;
    chosen = files;
    items = files.filter(isNeeded).map((file) => before.find((one) => mark(one.file) === mark(file)) || { file, id: null, offset: 0 });
    before.filter((one) => one.id && !items.includes(one)).forEach(giveUp);
    showChosen();
  }

  // Other files are needed after a change of the task.
  function arrange() {
    if (state !== "sending" && state !== "paused") setFiles(chosen);
  }

  // What is asked of a file that is converted.
  function showConversion() {
    const formats = items.length ? formatsOf(items[0].file).filter(({ missing: why }) => !why) : [];
    const isZip = items.length && isArchive(items[0].file); // it may hold an ONNX model
    const known = [...field.source_format.options].slice(1).map((option) => option.value);
    if (known.join() !== formats.map(({ name }) => name).join()) {
      field.source_format.replaceChildren(field.source_format.options[0], ...formats.map(({ name, label }) => new Option(label, name)));
    }
    const of = formats.filter(({ name }) => !field.source_format.value || name === field.source_format.value);
    const program = of.find(({ isProgram }) => isProgram);
    const options = of.flatMap((one) => Object.entries(one.options).map(([name, help]) => `${name}: ${help}`));
    document.getElementById("rh-conversion").hidden = !formats.length;
    document.getElementById("rh-program").hidden = !program;
    document.getElementById("rh-format-options").hidden = !options.length;
    form.querySelector("[data-format]").textContent = program ? program.label : "";
    form.querySelector("[data-options]").textContent = options.join(" ");
    if (of.length === 1 && of[0].needsShapes && !isZip) more.open = true;
  }

  // Options by name; null if a line is malformed.
  function sourceOptions() {
    const found = {};
    for (const line of lines(field.source_options)) {
      const [, name, value] = /^([^=\s]+)\s*=\s*(.+)$/.exec(line) || [];
      if (!name || name in found) return null;
      found[name] = value;
    }
    return found;
  }

  function conversion() {
    if (document.getElementById("rh-conversion").hidden) return {};
    return { source_format: field.source_format.value, source_options: sourceOptions(), confirm_program: field.confirm_program.value.trim() };
  }

  function showChosen(advice = "") {
    showConversion();
    const names = items.filter((one) => !isBeside(one.file)).map((one) => `${one.file.name}, ${size(one.file.size)}`).join(" + ") || CHOOSE;
    drop.querySelector("[data-chosen]").textContent = advice ? `${names}. ${advice}` : names;
    const beside = drop.querySelector("[data-beside]");
    beside.textContent = [
      listed("With", items.map((one) => one.file).filter(isBeside)),
      listed("Not needed:", chosen.filter((one) => !isNeeded(one))),
      lacksTokenizer() ? "Add tokenizer.json or vocab.txt, unless the model reads texts itself." : "",
      lacksIds() ? `Add ${IDS.filter((name) => !has(name)).join(" and ")}: an id in each line, in the order of the model’s rows.` : "",
    ].join(" ").trim();
    beside.hidden = !beside.textContent;
  }

  const listed = (begin, files) => (files.length ? `${begin} ${files.map((one) => one.name).join(", ")}.` : "");

  const lacksTokenizer = () => items.length && !isArchive(items[0].file) && ["text-classification", "entities"].includes(task()) && !items.some((one) => KEPT.some((end) => one.file.name.endsWith(end)) || one.file.name === readSettings()?.tokenizer);

  const has = (name) => chosen.some((one) => one.name === name);
  const lacksIds = () => items.length && !isArchive(items[0].file) && task() === "recommendation" && !IDS.every(has);

  // The files of a folder that was dropped, at any depth.
  async function filesOf(transfer) {
    const entries = [...transfer.items].map((one) => one.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.some((one) => one.isDirectory)) return transfer.files;
    const files = [];
    while (entries.length && files.length < MOST_IN_FOLDER) {
      const entry = entries.shift();
      if (entry.name.startsWith(".")) continue;
      if (entry.isFile) files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      else entries.push(...(await entriesOf(entry.createReader())));
    }
    return files;
  }

  async function entriesOf(reader) {
    const found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at once
      if (!some.length || found.length > MOST_IN_FOLDER) return found;
      found.push(...some);
    }
  }

  // --- what a config.json states; the server reads it again

  async function readStated() {
    const isRecommender = chosen.some(isEmbeddings) || IDS.every(has);
    const file = chosen.find((one) => one.name === "config.json" && one.size <= MOST_STATED);
    const config = file ? await file.text().then(JSON.parse).catch(() => null) : null;
    stated = {};
    const names = Object.entries(config?.id2label || {}).sort(([one], [other]) => one - other).map(([, label]) => label);
    if (names.length && names.every((label) => typeof label === "string") && !names.every((label) => label.startsWith("LABEL_"))) stated.labels = names;
    const functions = { single_label_classification: "softmax", multi_label_classification: "sigmoid", regression: "none" };
    if (functions[config?.problem_type]) stated.function = functions[config.problem_type];
    const kind = String(config?.architectures?.[0] || "");
    if (kind.endsWith("ForSequenceClassification")) stated.task = "text-classification";
    if (kind.endsWith("ForTokenClassification")) stated.task = "entities";
    if (kind.endsWith("ForImageClassification")) stated.task = "image-classification";
    if (kind.endsWith("ForObjectDetection")) stated.task = "object-detection";
    statedBy = "config.json";
    if (isRecommender) {
      stated.task = "recommendation";
      statedBy = has(IDS[0]) ? IDS.join(" and ") : THE_FILE;
    }
    if (field.task && ![...field.task.options].some((option) => option.value === stated.task)) delete stated.task;
    showFields();
  }

  const PATTERN = /^\s*([^=]*[^=\s])\s*=\s*(\S.*)$/;

  // The values of fields that are not edited: those that the files state, otherwise those of the version before.
  function prefill() {
    const rest = { ...previous };
    const { config } = isSuggested() ? suggested : { config: {} };
    for (const name of [...CONFIG_FIELDS, ...Object.keys(config)]) delete rest[name];
    if (chosen.some((one) => one.name === "config.json")) ["max_tokens", "padding_id", "lower_case"].forEach((name) => delete rest[name]);
    const patterns = (previous.patterns || []).flatMap((one) => Object.entries(one)).map((pair) => pair.join(" = "));
    const defaults = Object.entries(previous.defaults || {}).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    const before = { ...previous, patterns: patterns.join("\n"), defaults: defaults.join("\n"), settings: Object.keys(rest).length ? JSON.stringify(rest) : "" };
    for (const name of [...CONFIG_FIELDS, "settings"]) {
      take(name, asText(stated[name]), "config.json") || take(name, asText(config[name]), THE_FILE) || (!(name in config) && take(name, asText(before[name]), "the version before")) || take(name, "", "");
    }
    if (field.task && stated.task) take("task", stated.task, statedBy);
  }

  function asText(value) {
    if (!Array.isArray(value)) return value || "";
    return value.length <= LABELS_SHOWN ? value.join("\n") : "";
  }

  // Fills in a field unless somebody edited it; returns false without a value.
  function take(name, value, from) {
    if (!value && from) return false;
    const control = field[name];
    const empty = control.tagName === "SELECT" ? control.options[0].value : "";
    if (control.value === (taken[name]?.value ?? empty)) {
      control.value = value || empty;
      taken[name] = { value: control.value, from };
    }
    showSource(name);
    return true;
  }

  const isFrom = (name, from) => taken[name]?.from === from && taken[name].value === field[name].value;

  const isStated = (name) => isFrom(name, "config.json") || isFrom(name, THE_FILE);

  function showSource(name) {
    const note = form.querySelector(`[data-from=${name}]`);
    if (!note) return;
    const from = taken[name]?.value === field[name].value ? taken[name].from : "";
    note.textContent = !from ? "" : name === "task" ? `Chosen by ${from}.` : `from ${from}`;
    note.hidden = !from;
  }

  async function giveUp(one) {
    const answer = await ask("DELETE", `${UPLOADS}/${one.id}`);
    if (answer.status === 204 || answer.status === 404) forget(one);
    return answer;
  }

  // --- the Model

  const where = () => (form.querySelector("[name=where]:checked") || form.querySelector("[name=where]")).value;

  const task = () => (where() === "new" ? field.task.value : knownTask);

  function showFields() {
    const place = where();
    for (const part of form.querySelectorAll("[data-when]")) part.hidden = part.dataset.when !== place;
    prefill();
    const present = task() || "tensor";
    for (const part of form.querySelectorAll("[data-for], [data-not]")) {
      const isFor = part.dataset.for ? part.dataset.for.split(" ").includes(present) : !part.dataset.not.split(" ").includes(present);
      part.hidden = !isFor;
      if (part.tagName === "OPTION") part.disabled = !isFor;
    }
    field.long_texts.options[0].textContent = present === "entities" ? "are read in windows that overlap" : "are cut";
    field.function.options[0].textContent = FUNCTIONS[present] || "as the files state, or softmax";
    for (const name of ["box_layout", "resize"]) {
      const isAsked = isSuggested() && suggested.missing.includes(name);
      field[name].options[0].textContent = isAsked ? "choose…" : "as the files state";
    }
    showLayout();
    arrange();
    const isNew = place === "new" ? "yes" : "no";
    if (field.model.dataset.creating !== isNew) {
      field.model.dataset.creating = isNew;
      field.model.modelSelect?.search(false); // what it says about the name depends on this
    }
  }

  function showLayout() {
    const { holds } = field.box_layout.selectedOptions[0].dataset;
    layoutHelp.textContent = holds ? `The outputs hold: ${holds}.` : LAYOUT_HELP;
  }

  function lookUp() {
    looking = lookUpModel();
    return looking;
  }

  async function lookUpModel() {
    const slug = field.model.value.trim();
    const help = form.querySelector("[data-help]");
    knownTask = "";
    previous = {};
    help.textContent = "The name of an existing Model.";
    if (where() === "known" && slug) {
      const { status, data } = await ask("GET", `${MODELS}/${encodeURIComponent(slug)}`);
      if (slug !== field.model.value.trim()) return;
      if (status === 200) {
        knownTask = data.task;
        help.textContent = [data.title, `task: ${data.task}`].filter(Boolean).join(" · ");
        if (knownTask !== "tensor") await lookUpPrevious(slug);
      }
    }
    showFields();
  }

  // A new version usually has the configuration of the one before it.
  async function lookUpPrevious(slug) {
    const { data } = await ask("GET", `${MODELS}/${encodeURIComponent(slug)}/versions?page_size=1`);
    previous = data.results?.[0]?.task_config || {};
  }

  const KEPT_FIELDS = ["model", "title", "task", ...CONFIG_FIELDS, "settings", "notes", "shapes", ...TRAINING_FIELDS];

  const written = () => ({ where: where(), zipmap: field.zipmap.checked, ...Object.fromEntries(KEPT_FIELDS.map((name) => [name, field[name].value])) });

  function fill(fields) {
    for (const name of KEPT_FIELDS) field[name].value = fields[name] ?? "";
    field.zipmap.checked = Boolean(fields.zipmap);
    more.open = field.zipmap.checked || Boolean(field.shapes.value || field.settings.value);
    training.open = TRAINING_FIELDS.some((name) => field[name].value);
    const choice = form.querySelector(`[name=where][value=${fields.where === "new" ? "new" : "known"}]`);
    if (choice) choice.checked = true;
    return lookUp();
  }

  const lines = (area) => area.value.split("\n").map((line) => line.trim()).filter(Boolean);

  // Sizes by input name; null if a line is malformed. The server checks the rest.
  function shapes() {
    const found = {};
    for (const line of lines(field.shapes)) {
      const [, name, sizes] = /^(.+?)\s*=\s*([\d,\s]*)$/.exec(line) || [];
      if (!name || name in found) return null;
      found[name] = sizes.split(",").filter((one) => one.trim()).map(Number);
    }
    return found;
  }

  // Objects such as {EMAIL: "…"}; null if a line is malformed.
  function patterns() {
    const found = lines(field.patterns).map((line) => PATTERN.exec(line));
    return found.every(Boolean) ? found.map(([, label, expression]) => ({ [label]: expression })) : null;
  }

  // Values by the names of columns: numbers, texts, or null; null if a line is malformed. Texts need no quotes.
  function defaults() {
    const found = {};
    for (const line of lines(field.defaults)) {
      const [, name, value] = /^(.+?)\s*=\s*(.+)$/.exec(line) || [];
      if (!name || name in found) return null;
      found[name] = valueOf(value);
    }
    return found;
  }

  function valueOf(text) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }

  // The other fields of the task configuration; null if that is no JSON object.
  function readSettings() {
    if (NUMBERS.includes(task()) || !field.settings.value.trim()) return {};
    try {
      const found = JSON.parse(field.settings.value);
      return found && typeof found === "object" && !Array.isArray(found) ? found : null;
    } catch {
      return null;
    }
  }

  // What the files state is left to the server, which reads all of it.
  function taskConfig() {
    const labels = lines(field.labels);
    if (task() === "tensor") return {};
    if (task() === "classification") return labels.length ? { labels, scores: field.scores.value } : {};
    const config = readSettings();
    if (labels.length && !isStated("labels") && !UNLABELLED.includes(task())) config.labels = labels;
    for (const name of ["function", "box_layout", "resize", "width", "height"]) {
      const control = field[name];
      if (!control.value || isStated(name) || control.closest("[hidden]")) continue;
      config[name] = control.type === "number" ? Number(control.value) : control.value;
    }
    if (["text-classification", "entities"].includes(task()) && field.long_texts.value) config.long_texts = field.long_texts.value;
    if (task() === "entities" && patterns().length) config.patterns = patterns();
    if (TABLES.includes(task())) {
      if (lines(field.columns).length) config.columns = lines(field.columns);
      if (lines(field.defaults).length) config.defaults = defaults();
    }
    if (task() === "recommendation") {
      if (field.item_ids.value) config.item_ids = field.item_ids.value;
      if (field.fallback_user.value) config.fallback_user = field.fallback_user.value;
    }
    return config;
  }

  function requestBody() {
    return {
      model: field.model.value.trim(),
      notes: field.notes.value,
      data_uploads: items.slice(1).map((one) => one.id),
      drop_zipmap: field.zipmap.checked,
      input_shapes: shapes(),
      ...(where() === "new" ? { new_model: { title: field.title.value.trim(), task: task() } } : {}),
      task_config: taskConfig(),
      ...conversion(),
      training: Object.fromEntries(TRAINING_FIELDS.map((name) => [name, field[name].value.trim()])),
    };
  }

  function missing() {
    if (!items.length) return [chooser, "Choose a file first."];
    if (!field.model.value.trim()) return [field.model, "Enter the name of the Model."];
    if (where() === "new" && !/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/.test(field.model.value.trim())) {
      return [field.model, "A name has 1 to 64 lower-case letters, digits and hyphens, such as fraud-score. It starts and ends with a letter or digit."];
    }
    const lack = missingOfTask();
    if (lack) return lack;
    if (field.run_url.value.trim() && !/^https?:\/\/[^/\s]/.test(field.run_url.value.trim())) {
      training.open = true;
      return [field.run_url, "A run URL starts with http:// or https://."];
    }
    if (sourceOptions() === null) return [field.source_options, "Write each option as name = value, one per line."];
    if (shapes() === null) {
      more.open = true;
      return [field.shapes, "Write each input size as name=1,3,320,320, one per line."];
    }
    return null;
  }

  function missingOfTask() {
    if (readSettings() === null) {
      more.open = true;
      return [field.settings, 'Write a JSON object, such as {"max_tokens": 256}.'];
    }
    if (PICTURES.includes(task())) return missingOfPictures();
    if (TABLES.includes(task()) && defaults() === null) return [field.defaults, "Write each default as column = value, one per line."];
    const isText = ["text-classification", "entities"].includes(task());
    const mayLackLabels = field.zipmap.checked || (isText && (stated.labels || isArchive(items[0].file)));
    if (task() && !UNLABELLED.includes(task()) && !field.labels.value.trim() && !mayLackLabels) {
      return [field.labels, isText && chosen.some((one) => one.name === "config.json") ? "Enter the labels: config.json does not name them." : isText ? "Enter the labels, or choose the model’s config.json, too." : "Enter the class labels."];
    }
    if (task() === "entities" && patterns() === null) return [field.patterns, "Write each pattern as LABEL = expression, one per line."];
    return null;
  }

  // Nothing is asked before the server has read the file.
  function missingOfPictures() {
    const name = isSuggested() && suggested.missing.find((one) => field[one] && !field[one].value.trim());
    return name ? [field[name], ASK[name]] : null;
  }

  // --- sending

  async function start() {
    await Promise.all([reading, looking]);
    if (state === "sending") return;
    const lack = missing();
    if (lack) return refuse(lack[1], lack[0]);
    refuse("");
    if (!navigator.locks) return run(); // plain http: two tabs with the same file only slow each other down
    const { file } = items[0];
    await navigator.locks.request(mark(file), { ifAvailable: true }, async (lock) => {
      if (lock) return run();
      refuse(`${file.name} is being uploaded in another tab of this browser.`);
    });
  }

  async function run() {
    become("sending");
    try {
      if (!hasBegun()) await checkName();
      for (;;) {
        for (const one of items) {
          current = one;
          if (!one.id && (await begin(one))) return;
          kept.set(mark(one.file), { id: one.id, fields: written() });
          await sendParts(one);
          if (state !== "sending") return;
        }
        if ((await mustBeConfirmed()) || (await complete())) return;
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (state !== "sending" && state !== "refused") return; // paused or cancelled in the meantime
      tell("");
      become("refused");
      refuse(error.message, error.field);
    }
  }

  // Before any data is sent, so that a wrong name does not waste a long upload.
  async function checkName() {
    const slug = field.model.value.trim();
    const { status } = await repeated(() => ask("GET", `${MODELS}/${encodeURIComponent(slug)}`));
    const isNew = where() === "new";
    if (isNew && status === 200) throw nameRefusal(`A Model named ${slug} already exists. Choose “the next version of an existing Model”, or another name.`);
    if (!isNew && status === 404) {
      await field.model.modelSelect?.search(false);
      const near = field.model.modelSelect?.found.near;
      throw nameRefusal(`There is no Model named ${slug}, or you may not see it.${near ? ` Did you mean ${near}?` : ""} Nothing was sent.`);
    }
  }

  const nameRefusal = (sentence) => new Refusal(sentence, field.model);

  // Returns true if the upload has already become a version, and opens its page.
  async function begin(one) {
    const known = kept.get(mark(one.file));
    if (known) {
      const answer = await repeated(() => ask("GET", `${UPLOADS}/${known.id}`));
      if (answer.status === 200 && answer.data.status === "complete") {
        leave(known.id);
        return true;
      }
      if (answer.status === 200 && answer.data.status === "open") {
        Object.assign(one, { id: answer.data.id, offset: answer.data.offset });
        tell("Resuming.");
        ready();
        return false;
      }
      kept.forget(mark(one.file));
    }
    tell("Uploading.");
    const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const about = { size_bytes: one.file.size, file_name: one.file.name, model: where() === "known" ? field.model.value.trim() : "" };
    const answer = await repeated(() => ask("POST", UPLOADS, about, { "Idempotency-Key": key }));
    if (answer.status !== 201) throw new Refusal(messageOf(answer));
    Object.assign(one, { id: answer.data.id, offset: answer.data.offset });
    ready();
    return false;
  }

  function ready() {
    samples = [];
    quarter = Math.floor((sent() / total()) * 4);
    become(state);
    show(sent());
    document.getElementById("rh-waiting").hidden = true;
  }

  async function sendParts(one) {
    let failures = 0;
    while (state === "sending" && one.offset < one.file.size) {
      const part = one.file.slice(one.offset, one.offset + PART);
      const answer = await putPart(part, one.offset);
      if (state !== "sending") return;
      const before = one.offset;
      if (answer.status === 200 || Number.isInteger(answer.data.offset)) one.offset = answer.data.offset;
      else if (!isRetryable(answer)) throw await refusalOf(answer, one);
      else await checkReadable(part, one);
      failures = one.offset > before ? 0 : failures + 1;
      show(sent());
      if (failures) {
        await wait(failures, answer);
        await askOffset(one);
      } else if (!said.textContent.endsWith("sent.")) tell("Uploading.");
    }
  }

  // If the upload ended in the meantime (expired, or cancelled elsewhere), the next press of the button starts a new one.
  async function refusalOf(answer, one) {
    if (answer.status === 404 || answer.data.code === "upload_ended" || answer.status === 507) forget(one);
    return new Refusal(messageOf(answer));
  }

  async function checkReadable(part, one) {
    try {
      await part.slice(0, 1).arrayBuffer();
    } catch {
      become("refused");
      throw new Refusal(`${one.file.name} can no longer be read: it was changed, moved or deleted. Reload this page and choose it again.`);
    }
  }

  async function askOffset(one) {
    if (state !== "sending") return;
    const { status, data } = await ask("GET", `${UPLOADS}/${one.id}`);
    if (status === 200 && data.status === "open") one.offset = data.offset;
    else if (status === 200 && data.status !== "complete") throw await refusalOf({ status: 404, data: { detail: data.failure || `This upload is ${data.status}. Start again.` } }, one);
  }

  // What the files state of the task's configuration is the same until other files or another task are chosen.
  const keyOfSuggestion = () => [task(), ...items.map((one) => mark(one.file))].join();

  const isSuggested = () => suggested?.key === keyOfSuggestion();

  // Fills in what the files state. Returns true if the person has to look at it, or to add something.
  async function mustBeConfirmed() {
    const mayNameTask = where() === "new" && task() === "tensor" && !isTaskChosen;
    if (isSuggested() || (!mayNameTask && !PICTURES.includes(task()))) return false;
    tell("Upload complete. Reading what the file states.");
    const query = new URLSearchParams(items.slice(1).map((one) => ["data_uploads", one.id]));
    if (!mayNameTask) query.set("task", task());
    const { status, data } = await repeated(() => ask("GET", `${UPLOADS}/${items[0].id}/task-config?${query}`));
    if (state !== "sending") return true;
    if (status !== 200 || !data.task) return false; // what is wrong with the files is told when the upload is completed
    become("idle");
    if (mayNameTask) take("task", data.task, THE_FILE);
    arrange();
    suggested = { ...data, key: keyOfSuggestion() };
    showFields();
    const filled = CONFIG_FIELDS.filter((name) => isFrom(name, THE_FILE));
    const lack = missingOfTask();
    if (mayNameTask || filled.length || lack) {
      showSuggested(filled, lack);
      return true;
    }
    become("sending");
    return false;
  }

  function showSuggested(filled, lack) {
    const others = Object.keys(suggested.config).filter((name) => !CONFIG_FIELDS.includes(name));
    const begin = filled.length ? "Check what the file states" : "Fill in what the file does not state";
    tell([`${begin}, then create the version.`, others.length ? `It also states ${others.join(", ")}.` : ""].join(" ").trim());
    if (lack) return refuse(lack[1], lack[0]);
    const first = filled.length ? field[filled[0]] : field.task;
    first.scrollIntoView({ block: "center" });
    first.focus({ preventScroll: true });
  }

  // Returns false if bytes are still missing.
  async function complete() {
    tell("Upload complete. Storing the file.");
    const main = items[0];
    const answer = await repeated(() => ask("POST", `${UPLOADS}/${main.id}/complete`, requestBody()));
    if (state !== "sending") return true;
    if (answer.status === 201) {
      leave(main.id);
      return true;
    }
    if (Number.isInteger(answer.data.offset)) {
      for (const one of items) await askOffset(one);
      if (!items.every(isSent)) return false;
    }
    await dropEnded();
    const wrong = wrongField(answer.data);
    if (answer.data.code === "data_missing") missed = answer.data.detail;
    const change = { data_missing: "add", data_not_named: "replace", bad_data_place: "replace", task_file_refused: "replace" }[answer.data.code];
    mayChange = main.id && !isArchive(main.file) ? change || (wrong?.control === chooser ? "add" : "") : "";
    if (mayChange) showChosen(`Choose ${mayChange === "add" ? "the missing" : "other"} files, or drop them here`);
    throw new Refusal(wrong?.message || messageOf(answer), wrong?.control);
  }

  // Which field the server refused, and why.
  function wrongField({ code, detail, errors }) {
    if (code === "task_takes_no_files") return { control: where() === "new" ? field.task : field.model, message: detail };
    const [, name, place] = /^#\/task_config\/([\w.]+)(?:\[(\d+)\])?$/.exec(errors?.[0]?.pointer || "") || [];
    if (!name) return null;
    const why = errors[0].detail;
    if (name === "files" || IDS.includes(name) || (name === "tokenizer" && !readSettings()?.tokenizer)) return { control: chooser, message: why };
    if (CONFIG_FIELDS.includes(name) && !field[name].closest("[hidden]")) {
      return { control: field[name], message: place ? `Line ${Number(place) + 1}: ${why}` : why };
    }
    more.open = true;
    return { control: field.settings, message: `${name}: ${why}` };
  }

  // If the model file was refused, its upload has ended, and its weight files are cancelled.
  async function dropEnded() {
    for (const one of items) {
      const { status, data } = await ask("GET", `${UPLOADS}/${one.id}`);
      if (status === 404 || (status === 200 && data.status !== "open")) forget(one);
    }
    if (items[0].id) return;
    for (const one of items.filter((each) => each.id)) await giveUp(one);
    progress.hidden = true;
  }

  function leave(id) {
    for (const one of items) kept.forget(mark(one.file));
    tell("Stored. Opening the version.");
    state = "idle";
    location.assign(MADE.replace("ID", id));
  }

  async function repeated(work) {
    for (let failures = 1; ; failures++) {
      const answer = await work();
      if (!isRetryable(answer)) return answer;
      await wait(failures, answer);
      if (state !== "sending") throw new Refusal("");
    }
  }

  async function wait(failures, answer) {
    if (failures > TRIES) {
      stop("The server could not be reached. The upload is paused; resume it when you are ready.");
      return;
    }
    const seconds = Math.min(MOST_WAIT_S, 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
    const why = answer.status === 0 ? "Connection lost" : answer.data.code === "overloaded" ? "Too many uploads at once" : "The server is busy";
    tell(`${why}. Retrying in ${time(seconds)}.`);
    samples = [];
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, seconds * 1000);
    });
    wake = null;
  }

  function stop(sentence) {
    become("paused");
    request?.abort();
    wake?.();
    tell(sentence);
    if (hasBegun()) show(sent());
  }

  function forget(one) {
    kept.forget(mark(one.file));
    Object.assign(one, { id: null, offset: 0 });
    if (!hasBegun()) progress.hidden = true;
  }

  // --- events

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });

  pause.addEventListener("click", async () => {
    if (state === "sending") {
      stop("Paused.");
      return learnOffset(); // part of the interrupted request may have arrived
    }
    await learnOffset();
    samples = [];
    tell("Resuming.");
    start();
  });

  async function learnOffset() {
    const one = current;
    if (!one?.id) return;
    const { status, data } = await ask("GET", `${UPLOADS}/${one.id}`);
    if (status !== 200 || !one.id) return;
    one.offset = data.offset;
    show(sent());
  }

  cancel.addEventListener("click", async () => {
    stop("");
    for (const one of items.filter((each) => each.id)) {
      const answer = await giveUp(one);
      if (one.id) return refuse(`The upload could not be cancelled: ${messageOf(answer)}`);
    }
    mayChange = "";
    showChosen();
    refuse("");
    become("idle");
    tell("Cancelled. The uploaded data was deleted from the server.");
    send.focus();
  });

  window.addEventListener("online", () => wake?.());
  chooser.addEventListener("change", () => choose(chooser.files));
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("rh-over", name === "dragover" && !chooser.disabled);
      if (name === "drop") filesOf(event.dataTransfer).then(choose);
    });
  }
  for (const name of ["dragover", "drop"]) {
    window.addEventListener(name, (event) => event.preventDefault()); // a file dropped next to the target must not replace the page
  }
  field.model.addEventListener("rh:model", ({ detail }) => {
    const choice = form.querySelector(`[name=where][value=${detail.isNew ? "new" : "known"}]`);
    if (choice) choice.checked = true;
    refuse("");
  });
  field.model.addEventListener("change", lookUp);
  field.task?.addEventListener("change", () => {
    isTaskChosen = true;
    showFields();
  });
  field.box_layout.addEventListener("change", showLayout);
  field.source_format.addEventListener("change", showConversion);
  field.settings.addEventListener("change", arrange);
  for (const name of [...CONFIG_FIELDS, "settings"]) field[name].addEventListener("input", () => showSource(name));
  for (const choice of form.querySelectorAll("[name=where]")) choice.addEventListener("change", lookUp);

  // --- unfinished uploads

  async function showWaiting() {
    const list = page.querySelector(".rh-waiting");
    for (const key of kept.keys()) {
      const known = kept.get(key);
      const { status, data } = await ask("GET", `${UPLOADS}/${known?.id}`);
      if (status === 404 || (status === 200 && data.status !== "open")) kept.forget(key);
      if (status !== 200 || data.status !== "open") continue;
      const item = document.createElement("li");
      const name = document.createElement("b");
      name.textContent = data.file_name;
      const figures = document.createElement("span");
      figures.textContent = `${size(data.offset)} of ${size(data.size_bytes)} for ${known.fields.model}`;
      const away = document.createElement("button");
      away.type = "button";
      away.className = "rh-button";
      away.textContent = "Cancel";
      away.addEventListener("click", async () => {
        await ask("DELETE", `${UPLOADS}/${data.id}`);
        kept.forget(key);
        item.remove();
        document.getElementById("rh-waiting").hidden = !list.children.length;
      });
      item.append(name, figures, away);
      list.append(item);
    }
    document.getElementById("rh-waiting").hidden = !list.children.length || hasBegun();
  }

  lookUp();
  showWaiting();
})();
