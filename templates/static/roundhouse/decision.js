// The pictures of contents: blurred until somebody wants to see them, and with the boxes that detectors found. Boxes come
// in pixels of the picture, so they are placed when its size is known. On the page of a decision, this browser remembers
// the choice; the review console keeps each reviewer's (review.js) and calls `rhPictures`.
"use strict";

(() => {
  const KEY = "rh-pictures-shown";

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

  // Returns the pictures in this part of the page.
  function prepare(part, isBlurred) {
    const pictures = [...part.querySelectorAll("[data-picture]")];
    for (const picture of pictures) {
      const image = picture.querySelector("img");
      const fail = () => {
        picture.hidden = true;
        picture.nextElementSibling.hidden = false;
      };
      picture.querySelector("[data-reveal]").addEventListener("click", () => setBlurred(picture, false));
      setBlurred(picture, isBlurred);
      if (image.complete) image.naturalWidth ? place(picture, image) : fail();
      else {
        image.addEventListener("load", () => place(picture, image));
        image.addEventListener("error", fail);
      }
    }
    return pictures;
  }

  window.rhPictures = { prepare, setBlurred };

  const choice = document.querySelector("[data-blur-choice]");
  if (!choice) return;
  const pictures = prepare(document, !remembered());
  const tick = choice.querySelector("input");
  choice.hidden = false;
  tick.checked = !remembered();
  tick.addEventListener("change", () => {
    remember(!tick.checked);
    for (const picture of pictures) setBlurred(picture, tick.checked);
  });
})();
