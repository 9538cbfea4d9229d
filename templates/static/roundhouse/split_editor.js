// Links the shares of a split so that they always add up to 100 %, and says how many routing keys would change versions.
"use strict";

(() => {
  const WHOLE = 10000; // basis points, and buckets
  const STEP = 100;
  const LEAP = 1000;
  const SAY_AGAIN_MS = 150;
  const STEPS = { ArrowRight: STEP, ArrowUp: STEP, ArrowLeft: -STEP, ArrowDown: -STEP, PageUp: LEAP, PageDown: -LEAP };

  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const percent = (share) => `${share / 100} %`;

  // Divides `whole` in proportion to the weights; the largest remainders get what rounding left.
  function proportionalParts(whole, weights) {
    const total = sum(weights);
    const parts = weights.map((weight) => Math.floor((whole * weight) / total));
    const byRemainder = weights.map((_, i) => i).sort((a, b) => ((whole * weights[b]) % total) - ((whole * weights[a]) % total));
    byRemainder.slice(0, whole - sum(parts)).forEach((i) => { parts[i] += 1; });
    return parts;
  }

  // The same rule as on the server: each arm keeps its first buckets, and freed buckets go to arms that need more, in
  // the order of their versions. Returns how many buckets move from which version to which.
  function movesBetween(owners, shares) {
    const lacking = new Map(shares);
    const freed = [];
    for (const owner of owners) {
      if (lacking.get(owner) > 0) lacking.set(owner, lacking.get(owner) - 1);
      else freed.push(owner);
    }
    const heirs = [...lacking].flatMap(([version, count]) => Array(count).fill(version));
    const moves = new Map();
    freed.forEach((from, i) => {
      const way = `from version ${from} to version ${heirs[i]}`;
      moves.set(way, (moves.get(way) || 0) + 1);
    });
    return [...moves].sort((a, b) => b[1] - a[1]);
  }

  function movesSentence(owners, shares) {
    if (!owners.length) return "No version is live yet, so this split decides for every routing key.";
    const moves = movesBetween(owners, shares);
    if (!moves.length) return "No routing key moves.";
    const ways = moves.map(([way, count]) => `${percent(count)} ${way}`).join(", ");
    return `${percent(sum(moves.map(([, count]) => count)))} of routing keys move: ${ways}.`;
  }

  // `3x9000 4x1000` is version 3 for 9,000 buckets, then version 4.
  function read(dealt) {
    return dealt.split(" ").filter(Boolean).flatMap((run) => {
      const [version, count] = run.split("x").map(Number);
      return Array(count).fill(version);
    });
  }

  function edit(editor) {
    const owners = read(editor.dataset.dealt);
    const after = editor.querySelector("[data-after]");
    const moves = editor.querySelector("[data-moves]");
    const lines = [...editor.querySelectorAll("[data-line]")].map((row) => ({
      version: Number(row.dataset.line),
      now: Number(row.dataset.now),
      look: row.dataset.look,
      slider: row.querySelector("[data-slider]"),
      number: row.querySelector("input[type=number]"),
      lock: row.querySelector("[data-lock]"),
    }));
    lines.forEach((line) => { line.share = Math.round(Number(line.number.value || 0) * 100); });
    let sayTimer;

    const isLocked = (line) => line.lock.getAttribute("aria-pressed") === "true";

    // How the other lines divide what is left: by their shares when this line was focused, so that moving it there and
    // back changes nothing; if all of those are 0, by their live shares; else the newest gets it all.
    function weights(others) {
      const candidates = [others.map((other) => other.held), others.map((other) => other.now)];
      return candidates.find((shares) => sum(shares) > 0) || others.map((_, i) => (i === 0 ? 1 : 0));
    }

    function hold() {
      lines.forEach((line) => { line.held = line.share; });
    }

    function set(line, share) {
      if (isLocked(line)) return;
      const others = lines.filter((one) => one !== line && !isLocked(one));
      const free = WHOLE - sum(lines.filter((one) => one !== line && isLocked(one)).map((one) => one.share));
      line.share = others.length ? Math.max(0, Math.min(free, Math.round(share))) : free;
      if (others.length) {
        const parts = proportionalParts(free - line.share, weights(others));
        others.forEach((one, i) => { one.share = parts[i]; });
      }
      show(line);
    }

    function show(typedIn) {
      for (const line of lines) {
        line.slider.value = line.share / 100;
        line.slider.setAttribute("aria-valuetext", percent(line.share));
        if (line !== typedIn || document.activeElement !== line.number) line.number.value = line.share / 100;
      }
      draw();
      sayTimer = sayTimer || setTimeout(say, SAY_AGAIN_MS);
    }

    function arms() {
      return lines.filter((line) => line.share > 0).sort((a, b) => a.version - b.version);
    }

    function draw() {
      after.replaceChildren(...arms().map((line) => {
        const arm = document.createElement("span");
        arm.className = `rh-arm rh-arm-${line.look}`;
        arm.style.flexGrow = line.share;
        const name = document.createElement("b");
        name.textContent = `v${line.version}`;
        arm.append(name, ` ${percent(line.share)}`);
        return arm;
      }));
      after.setAttribute("aria-label", arms().map((line) => `version ${line.version} ${percent(line.share)}`).join(", "));
    }

    function say() {
      sayTimer = undefined;
      const total = sum(lines.map((line) => line.share));
      const sentence = total === WHOLE
        ? movesSentence(owners, arms().map((line) => [line.version, line.share]))
        : `The shares add up to ${percent(total)}; they must add up to 100 %.`;
      if (moves.textContent !== sentence) moves.textContent = sentence;
    }

    function follow(line) {
      line.slider.addEventListener("focus", hold);
      line.slider.addEventListener("pointerdown", hold);
      line.number.addEventListener("focus", hold);
      line.slider.addEventListener("input", () => set(line, Math.round(line.slider.value) * 100));
      line.slider.addEventListener("keydown", (event) => {
        const by = STEPS[event.key];
        const to = { Home: 0, End: WHOLE }[event.key] ?? (by && line.share + by * (event.shiftKey && Math.abs(by) === STEP ? LEAP / STEP : 1));
        if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        set(line, to);
      });
      line.number.addEventListener("input", () => {
        if (line.number.value !== "" && line.number.validity.valid) set(line, Number(line.number.value) * 100);
      });
      line.number.addEventListener("change", () => show());
      line.number.addEventListener("blur", () => { line.number.value = line.share / 100; });
      line.lock.addEventListener("click", () => {
        const locked = !isLocked(line);
        line.lock.setAttribute("aria-pressed", String(locked));
        line.number.readOnly = locked;
        line.slider.disabled = locked;
        hold();
      });
      line.slider.hidden = line.lock.hidden = false;
    }

    hold();
    lines.forEach(follow);
    editor.querySelectorAll("[data-needs-script]").forEach((part) => { part.hidden = false; });
    show();
  }

  document.querySelectorAll("[data-split-editor]").forEach(edit);
})();
