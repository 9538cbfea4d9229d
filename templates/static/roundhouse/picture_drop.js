// The place where a picture is dropped, pasted or chosen. It begins with an example.
"use strict";

window.rhPictureDrop = (() => {
  const TYPES = ["image/jpeg", "image/png", "image/webp", "image/gif"];
  const KIB = 1024;

  const size = (bytes) => (bytes < KIB ** 2 ? `${Math.ceil(bytes / KIB)} KiB` : `${(bytes / KIB ** 2).toFixed(1).replace(".0", "")} MiB`);

  // `changed` is called when somebody has put another picture there.
  return (place, changed) => {
    const zone = place.querySelector(".rh-drop");
    const chooser = zone.querySelector("input");
    const shown = zone.querySelector("img");
    const name = zone.querySelector("[data-chosen]");
    const facts = zone.querySelector("[data-facts]");
    const problem = place.querySelector("[role=alert]");
    const mostBytes = Number(place.dataset.mostBytes);
    const example = window.rhPictures.fileOf(place.dataset.example, "picture");
    let file = example;

    function reasonAgainst(picture) {
      if (!TYPES.includes(picture.type)) return `${picture.name} is not a JPEG, PNG, WebP or GIF.`;
      if (picture.size > mostBytes) return `${picture.name} has ${size(picture.size)}; at most ${size(mostBytes)} are accepted.`;
      return "";
    }

    function take(picture) {
      const reason = reasonAgainst(picture);
      problem.textContent = reason;
      problem.hidden = !reason;
      if (reason) return;
      file = picture;
      show();
      changed();
    }

    function show() {
      URL.revokeObjectURL(shown.src);
      shown.src = URL.createObjectURL(file);
      shown.hidden = false;
      name.textContent = file === example ? "Example picture" : file.name;
      facts.textContent = size(file.size);
    }

    shown.addEventListener("load", () => {
      facts.textContent = `${shown.naturalWidth} × ${shown.naturalHeight} pixels, ${size(file.size)}`;
    });
    shown.addEventListener("error", () => {
      shown.hidden = true;
      facts.textContent = `${size(file.size)}. Your browser cannot show this file.`;
    });
    chooser.hasChangeListener = true; // the theme's listener expects a text field next to it, and fails
    chooser.addEventListener("change", () => {
      if (chooser.files.length) take(chooser.files[0]);
      chooser.value = ""; // so that the same file can be chosen again
    });
    for (const kind of ["dragover", "dragleave", "drop"]) {
      zone.addEventListener(kind, (event) => {
        event.preventDefault();
        zone.classList.toggle("rh-over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
      });
    }
    for (const kind of ["dragover", "drop"]) {
      window.addEventListener(kind, (event) => event.preventDefault()); // a file dropped next to the zone must not replace the page
    }
    document.addEventListener("paste", (event) => {
      const pasted = event.clipboardData?.files[0];
      if (!pasted || !place.checkVisibility()) return;
      event.preventDefault();
      take(pasted);
    });

    show();
    return { take, get file() { return file; } };
  };
})();
