// The pictures of a decision: blurred until somebody wants to see them, which this browser remembers, and with the boxes
// that detectors found. Boxes come in pixels of the picture, so they are placed when its size is known.
"use strict";

(() => {
  const KEY = "rh-pictures-shown";
  const pictures = [...document.querySelectorAll("[data-picture]")];
  const choice = document.querySelector("[data-blur-choice]");
  if (!pictures.length || !choice) return;
  const tick = choice.querySelector("input");

  const remembered = () => {
    try {
      return localStorage.getItem(KEY) === "yes";
    } catch {
      return false; // storage is switched off
    }
  };

  function remember(shown) {
    try {
      localStorage.setItem(KEY, shown ? "yes" : "no");
    } catch {
      // the choice is good for this page only
    }
  }

  function setBlurred(picture, isBlurred) {
    picture.toggleAttribute("data-blurred", isBlurred);
    picture.querySelector("[data-reveal]").hidden = !isBlurred;
    for (const box of picture.querySelectorAll("[data-box]")) box.hidden = isBlurred || !box.style.width;
  }

  function place(picture, image) {
    for (const box of picture.querySelectorAll("[data-box]")) {
      const [left, top, width, height] = box.dataset.box.split(" ").map(Number);
      const share = (value, whole) => `${(100 * value) / whole}%`;
      box.toggleAttribute("data-at-top", top < image.naturalHeight / 8); // its name would be cut off above it
      box.style.left = share(left, image.naturalWidth);
      box.style.top = share(top, image.naturalHeight);
      box.style.width = share(width, image.naturalWidth);
      box.style.height = share(height, image.naturalHeight);
    }
    setBlurred(picture, picture.hasAttribute("data-blurred"));
  }

  for (const picture of pictures) {
    const image = picture.querySelector("img");
    const fail = () => {
      picture.hidden = true;
      picture.nextElementSibling.hidden = false;
    };
    picture.querySelector("[data-reveal]").addEventListener("click", () => setBlurred(picture, false));
    setBlurred(picture, !remembered());
    if (image.complete) image.naturalWidth ? place(picture, image) : fail();
    else {
      image.addEventListener("load", () => place(picture, image));
      image.addEventListener("error", fail);
    }
  }

  choice.hidden = false;
  tick.checked = !remembered();
  tick.addEventListener("change", () => {
    remember(!tick.checked);
    for (const picture of pictures) setBlurred(picture, tick.checked);
  });
})();
