// The review console: keys and buttons decide a case, and the answer brings the next one as HTML, so that it is there at once.
// It keeps the case while the person is there, takes the content off the screen when their time is over, and measures for how
// long they really looked.
"use strict";

(() => {
  const root = document.querySelector("[data-review]");
  if (!root) return;
  const find = (selector) => root.querySelector(selector);
  const stage = find("[data-stage]");
  const base = root.dataset.base;
  const leaseS = Number(root.dataset.leaseS);
  const IDLE_MS = 60000;
  const KEEP_MS = 60000;
  const QUEUES_MS = 30000;
  const UNSEEN_MS = 300; // a key that is pressed twice must not decide a case that nobody has seen
  const TIMEOUT_MS = 20000;
  const BUDGET = "You have seen contents for as long as your budget for today allows, so this one went back to its queue.";
  const LEASE = "Nothing happened for a while, so the case went back to its queue. What you did before is saved.";

  let isSending = false;
  let undo = null; // { address, until }
  let shownAt = 0;
  let endsAt = 0; // when the case is not ours any more
  let endsByBudget = false;
  let keptAt = 0;
  let queuesAt = Date.now();
  let activeMs = 0;
  let lastActive = Date.now();
  let lastTick = Date.now();

  const openCase = () => stage.querySelector("[data-case]");
  const addressOf = (verb) => `${base}cases/${openCase().dataset.case}/${verb}/`;

  // Talking to the server

  class Refusal extends Error {
    constructor(said, { isLoggedOut = false, isAnswer = false, isOver = false } = {}) {
      super(said);
      this.isOver = isOver; // the case is not ours any more
      this.isLoggedOut = isLoggedOut;
      this.isAnswer = isAnswer; // the server's own words; else nothing is known of the case
    }
  }

  async function ask(address, fields) {
    const options = { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(TIMEOUT_MS) };
    if (fields) {
      options.method = "POST";
      options.headers["X-CSRFToken"] = find("[name=csrfmiddlewaretoken]").value;
      options.body = new URLSearchParams(fields);
    }
    let response;
    try {
      response = await fetch(address, options);
    } catch {
      throw new Refusal("Not confirmed: the server is not responding, and may have saved it or not. Try again.");
    }
    if (response.redirected) throw new Refusal("Not saved: your session has ended.", { isLoggedOut: true });
    if (!response.headers.get("Content-Type")?.startsWith("application/json")) {
      throw new Refusal(response.status === 403 ? "Not saved: you logged in again elsewhere. Reload the page." : "Not saved: the server had a problem. Try again.");
    }
    let answer;
    try {
      answer = await response.json();
    } catch {
      throw new Refusal("Not confirmed: the connection broke, and it may be saved or not. Try again.");
    }
    if (!response.ok) throw new Refusal(answer.detail, { isAnswer: true, isOver: ["stale_state", "already_decided"].includes(answer.code) });
    return answer;
  }

  // One thing at a time; whatever fails leaves the case where it is.
  async function send(address, fields = {}) {
    if (isSending) return false;
    isSending = true;
    const sentFrom = openCase();
    stage.setAttribute("aria-busy", "true");
    try {
      const pairs = Object.entries({ ...fields, queue: root.dataset.queue });
      show(await ask(address, pairs.flatMap(([name, values]) => [values].flat().map((value) => [name, value]))));
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // A conflict in undoing is about another case than the one on the screen.
      const isAboutIt = sentFrom && openCase() === sentFrom && address.startsWith(`${base}cases/${sentFrom.dataset.case}/`);
      if (error.isOver && isAboutIt) takeAway(error.message);
      else complain(error.message, error.isLoggedOut);
      return false;
    } finally {
      isSending = false;
      stage.removeAttribute("aria-busy");
    }
  }

  // What is on the screen

  function show(answer) {
    complain(answer.problem ?? "");
    if (answer.line) find("[data-line]").innerHTML = answer.line;
    if (answer.undo) startUndo(answer.undo, answer.said);
    else if (undo && answer.said) endUndo();
    if (answer.html === undefined) return;
    closeDialogs(); // before the case goes, to whose button the focus would return
    stage.innerHTML = answer.html;
    prepare();
    const title = openCase()?.querySelector("h2").textContent;
    say([answer.problem, answer.said, title ? `Next case: ${title}` : stage.querySelector("h2")?.textContent].filter(Boolean).join(". "));
  }

  function prepare() {
    const shown = openCase();
    shownAt = Date.now();
    activeMs = 0;
    if (shown) {
      setEnd(Number(shown.dataset.leftS));
      keptAt = Date.now();
      window.rhPictures.prepare(shown, root.hasAttribute("data-blurs"));
      markToggles();
      showGuidance();
    }
    root.toggleAttribute("data-has-case", Boolean(shown));
    window.scrollTo(0, 0);
    stage.querySelector("[data-focus]")?.focus({ preventScroll: true });
  }

  function say(sentence) {
    find("[data-said]").textContent = sentence;
  }

  function complain(sentence, isLoggedOut = false) {
    find("[data-problem]").hidden = !sentence;
    find("[data-problem-said]").textContent = sentence;
    find("[data-problem-link]").hidden = !isLoggedOut;
  }

  function setEnd(leftS) {
    endsAt = Date.now() + leftS * 1000;
    endsByBudget = leftS < leaseS - 5;
  }

  function takeAway(why, title = "Case closed") {
    closeDialogs();
    stage.replaceChildren(find("[data-over]").content.cloneNode(true));
    stage.querySelector("[data-over-title]").textContent = title;
    stage.querySelector("[data-over-said]").textContent = why;
    say(why);
    prepare();
  }

  // Verdicts

  const boxes = () => [...stage.querySelectorAll("[data-violations] input")];
  const note = () => stage.querySelector("[data-note]");

  function decide(button) {
    if (Date.now() - shownAt < UNSEEN_MS) return;
    const codes = boxes().filter((box) => box.checked).map((box) => box.value);
    if (button.dataset.needsViolation && boxes().length && !codes.length) {
      complain("Choose a violation first: 1 to 9, or f to find one.");
      return;
    }
    tick();
    send(addressOf("verdict"), { action: button.dataset.action, codes, note: note().value, seconds: (activeMs / 1000).toFixed(1) });
  }

  function choose(row) {
    for (const box of boxes()) box.checked = box.closest("[data-violation]") === row;
    complain("");
    filterViolations("");
    showGuidance();
    say(`${row.querySelector("label span").textContent} chosen`);
  }

  // The guidance of what is chosen; the other violations are one line each.
  function showGuidance() {
    for (const row of stage.querySelectorAll("[data-violation]")) {
      const isChosen = row.querySelector("input").checked;
      row.toggleAttribute("data-chosen", isChosen);
      const guidance = row.querySelector("[data-guidance]");
      if (guidance) guidance.hidden = !isChosen;
    }
  }

  function filterViolations(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of stage.querySelectorAll("[data-violation]")) {
      const isMatch = words.every((word) => row.dataset.words.includes(word));
      row.hidden = words.length ? !isMatch : row.hasAttribute("data-more") && !row.querySelector("input").checked;
    }
  }

  function takeFirstMatch(field) {
    const row = stage.querySelector("[data-violation]:not([hidden])");
    if (!row || !field.value.trim()) return;
    field.value = "";
    choose(row);
    openCase().focus({ preventScroll: true });
  }

  // Undo

  function startUndo(offered, said) {
    undo = { address: offered.address, until: Date.now() + offered.for_s * 1000 };
    find("[data-undo-said]").textContent = said;
    showUndo();
  }

  function showUndo() {
    const left = undo ? Math.ceil((undo.until - Date.now()) / 1000) : 0;
    if (left <= 0) return endUndo();
    find("[data-undo-left]").textContent = left;
    find("[data-undo]").hidden = false;
  }

  function endUndo() {
    undo = null;
    const bar = find("[data-undo]");
    if (bar.contains(document.activeElement)) stage.querySelector("[data-focus]")?.focus({ preventScroll: true });
    bar.hidden = true;
  }

  async function takeBack() {
    if (!undo) return say("There is nothing to undo.");
    const { address } = undo;
    if (await send(address)) endUndo();
  }

  // Pictures

  const pictures = () => [...stage.querySelectorAll("[data-picture]")];

  function markToggles() {
    for (const button of stage.querySelectorAll("[data-toggles]")) {
      button.setAttribute("aria-pressed", String(root.hasAttribute(`data-${button.dataset.toggles}`)));
    }
  }

  async function toggle(name) {
    const isOn = root.toggleAttribute(`data-${name}`);
    if (name === "blurs") for (const picture of pictures()) window.rhPictures.setBlurred(picture, isOn);
    markToggles();
    say({ blurs: ["Pictures are sharp", "Pictures are blurred"], greys: ["Pictures are in colour", "Pictures are grey"] }[name][Number(isOn)]);
    try {
      await ask(`${base}preferences/`, { [name]: isOn ? "yes" : "no" });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error; // the choice is good for this page only
    }
  }

  function lift() {
    const isBlurred = pictures().some((picture) => picture.hasAttribute("data-blurred"));
    for (const picture of pictures()) window.rhPictures.setBlurred(picture, !isBlurred);
  }

  // Dialogs

  const dialogs = () => [...root.querySelectorAll("dialog")];

  function openDialog(name) {
    const dialog = find(`[data-dialog="${name}"]`);
    dialog.querySelector("form")?.reset();
    const problem = dialog.querySelector("[data-form-problem]");
    if (problem) problem.textContent = "";
    dialog.showModal();
  }

  function closeDialogs() {
    for (const dialog of dialogs()) if (dialog.open) dialog.close();
  }

  async function submit(form) {
    if (await send(addressOf(form.dataset.form), Object.fromEntries(new FormData(form)))) return;
    form.querySelector("[data-form-problem]").textContent = find("[data-problem-said]").textContent;
  }

  // Queues

  async function refreshQueues() {
    queuesAt = Date.now();
    try {
      const isWanted = Boolean(stage.querySelector("[data-start]")); // counting all queues is work for the server
      const fresh = await ask(`${base}queues/${isWanted ? "" : "?only=line"}`);
      find("[data-line]").innerHTML = fresh.line;
      if (!fresh.start || !stage.querySelector("[data-start]") || isSending) return;
      const focused = document.activeElement?.dataset?.startQueue;
      stage.innerHTML = fresh.start;
      if (focused !== undefined) stage.querySelector(`[data-start-queue="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.isLoggedOut) complain("Your session has ended.", true);
    }
  }

  async function showQueues() {
    const fresh = await ask(`${base}queues/`).catch((error) => complain(error.message, error.isLoggedOut));
    if (fresh) show({ html: fresh.start, line: fresh.line });
  }

  // Only the queue is in the address: a reload after a pause must not take a case again that was opened by a link.
  function nameQueue() {
    const { queue } = root.dataset;
    history.replaceState(null, "", queue ? `?queue=${encodeURIComponent(queue)}` : location.pathname);
  }

  function start(queue) {
    root.dataset.queue = queue;
    nameQueue();
    send(`${base}next/`);
  }

  // Time

  function tick() {
    const now = Date.now();
    const isActive = document.visibilityState === "visible" && now - lastActive < IDLE_MS;
    if (isActive && openCase()) activeMs += Math.min(now - lastTick, 2000); // a computer that slept did not look
    lastTick = now;
    return isActive;
  }

  async function keep() {
    keptAt = Date.now();
    const kept = openCase();
    try {
      const { left_s: leftS } = await ask(addressOf("keep"), {});
      if (openCase() === kept) setEnd(leftS);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.isLoggedOut) complain("Your session has ended.", true);
      else if (error.isAnswer && openCase() === kept) takeAway(error.message);
    }
  }

  setInterval(() => {
    const isActive = tick();
    if (undo) showUndo();
    const now = Date.now();
    if (openCase()) {
      if (now >= endsAt) takeAway(endsByBudget ? BUDGET : LEASE, "This case timed out");
      else if (isActive && now - keptAt >= KEEP_MS) keep();
    }
    if (isActive && now - queuesAt >= QUEUES_MS) refreshQueues();
  }, 1000);

  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"]) {
    document.addEventListener(kind, () => (lastActive = Date.now()), { passive: true });
  }

  // Keys and buttons

  const CASE_KEYS = {
    s: () => send(addressOf("skip")),
    p: () => send(addressOf("put-back")),
    h: () => openDialog("hold"),
    e: () => openDialog("escalate"),
    o: () => openDialog("hand-over"),
    n: () => note().focus(),
    f: () => stage.querySelector("[data-filter]")?.focus(),
    b: () => toggle("blurs"),
    g: () => toggle("greys"),
    " ": lift,
  };

  const isTyping = (target) => target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    if (event.defaultPrevented || event.repeat || event.isComposing || document.querySelector("dialog[open]")) return;
    if (isTyping(target)) return leaveField(event, target);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === "z" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      return takeBack();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "?") return act(event, () => openDialog("help"));
    if (event.shiftKey) return;
    if (key === "u") return act(event, takeBack);
    if (openCase()) return onCase(event, key, target);
    const queue = stage.querySelector(`[data-start-key="${CSS.escape(key)}"]`);
    if (queue) act(event, () => start(queue.dataset.startQueue));
  });

  function onCase(event, key, target) {
    if (key === " " && target.closest("button, a, input, summary")) return;
    if (Object.hasOwn(CASE_KEYS, key)) return act(event, CASE_KEYS[key]);
    const row = stage.querySelector(`[data-digit="${CSS.escape(key)}"]`);
    if (row) return act(event, () => choose(row));
    const action = stage.querySelector(`[data-action][data-key="${CSS.escape(key)}"]`);
    if (action) act(event, () => decide(action));
  }

  function act(event, what) {
    event.preventDefault();
    what();
  }

  function leaveField(event, target) {
    const isOurs = target.matches("[data-filter], [data-note]");
    if (!isOurs) return;
    if (event.key === "Escape") {
      if (target.matches("[data-filter]")) {
        target.value = "";
        filterViolations("");
      }
      act(event, () => openCase().focus({ preventScroll: true }));
    } else if (event.key === "Enter") {
      act(event, () => (target.matches("[data-filter]") ? takeFirstMatch(target) : openCase().focus({ preventScroll: true })));
    }
  }

  root.addEventListener("input", (event) => {
    if (event.target.matches("[data-filter]")) filterViolations(event.target.value);
    else if (event.target.matches("[data-violations] input")) showGuidance();
  });

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { action, verb, opensDialog, toggles, startQueue } = button.dataset;
    if (action) decide(button);
    else if (verb) send(addressOf(verb));
    else if (opensDialog) openDialog(opensDialog);
    else if (toggles) toggle(toggles);
    else if (startQueue !== undefined) start(startQueue);
    else if ("next" in button.dataset) send(`${base}next/`);
    else if ("queues" in button.dataset) showQueues();
    else if ("undoButton" in button.dataset) takeBack();
    else if ("help" in button.dataset) openDialog("help");
    else if ("close" in button.dataset) button.closest("dialog").close();
    else if ("problemClose" in button.dataset) complain("");
  });

  root.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(event.target);
  });

  prepare();
  if (root.dataset.opens) {
    if (openCase()) complain(`Case ${root.dataset.opens} was not opened, as you have this one. Finish or pause it first.`);
    else send(`${base}cases/${encodeURIComponent(root.dataset.opens)}/take/`).then((isTaken) => isTaken && nameQueue());
  }
})();
