// The part "Answers" of the page that compares two versions: what each answers about the same picture, and where they differ.
// Data is always inserted as text, never as markup.
"use strict";

(() => {
  const SAME_BOX = 0.5; // share that two boxes have in common, of what they cover together
  const { element, labelBars, labelsWithout } = window.rhAnswers;
  const { annotated, leastSlider, notesOn } = window.rhPictures;
  const form = document.getElementById("rh-pictures");
  const differences = document.getElementById("rh-picture-differences");
  const places = Object.fromEntries([...document.querySelectorAll("[data-side]")].map((place) => [place.dataset.side, place]));
  const nameOf = (side) => places[side].dataset.name;
  const drop = window.rhPictureDrop(form.querySelector("[data-picture-drop]"), forget);
  let sent = null; // the picture that was sent
  let answers = {}; // by side

  function request() {
    forget();
    sent = drop.file;
    return { type: sent.type, content: sent };
  }

  function forget() {
    answers = {};
    differences.replaceChildren();
    for (const place of Object.values(places)) place.replaceChildren();
  }

  function show(side, answer) {
    if (drop.file !== sent) return; // another picture was dropped meanwhile
    answers[side] = answer;
    if (answers.left && answers.right) showBoth(answers.left, answers.right);
    else places[side].replaceChildren(...drawn(answer));
  }

  const drawn = (answer, alone) =>
    answer.objects ? [annotated(answer, sent).block] : [labelBars(answer.labels, alone), ...notesOn(answer, sent)];

  function refuse(side, problem) {
    places[side].replaceChildren(element("p", "rh-problem", problem));
  }

  function showBoth(left, right) {
    if (left.objects) showBoxes(left, right);
    else {
      places.left.replaceChildren(...drawn(left, labelsWithout(left, right)));
      places.right.replaceChildren(...drawn(right, labelsWithout(right, left)));
      differences.replaceChildren(element("p", "", sentenceOnLabels(left, right)));
    }
  }

  function showBoxes(left, right) {
    const alone = findAlone(left.objects, right.objects);
    const shown = { left: annotated(left, sent, alone.left), right: annotated(right, sent, alone.right) };
    for (const side of ["left", "right"]) places[side].replaceChildren(shown[side].block);
    differences.replaceChildren(
      element("p", "", sentenceOnBoxes(left.objects.length - alone.left.size, alone)),
      leastSlider(Object.values(shown)),
    );
  }

  function sentenceOnLabels(left, right) {
    if (left.label === right.label) return `Both say ${left.label}.`;
    return `${nameOf("left")} says ${left.label}, ${nameOf("right").toLowerCase()} says ${right.label}.`;
  }

  function sentenceOnBoxes(same, alone) {
    const parts = ["left", "right"].filter((side) => alone[side].size).map((side) => `${alone[side].size} only in ${nameOf(side).toLowerCase()}`);
    const objects = `${same} object${same === 1 ? "" : "s"} in both`;
    return `${[objects, ...parts].join(", ")}.`;
  }

  // The positions of the objects that only one side has. Two are the same if their labels are, and their boxes mostly overlap.
  function findAlone(left, right) {
    const alone = { left: new Set(left.keys()), right: new Set(right.keys()) };
    left.forEach((object, at) => {
      const same = [...alone.right]
        .filter((other) => right[other].label === object.label)
        .map((other) => ({ other, share: overlapOf(object.box, right[other].box) }))
        .filter(({ share }) => share >= SAME_BOX)
        .sort((one, next) => next.share - one.share)[0];
      if (!same) return;
      alone.left.delete(at);
      alone.right.delete(same.other);
    });
    return alone;
  }

  const areaOf = ({ x1, y1, x2, y2 }) => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

  function overlapOf(one, other) {
    const [x1, y1] = [Math.max(one.x1, other.x1), Math.max(one.y1, other.y1)];
    const [x2, y2] = [Math.min(one.x2, other.x2), Math.min(one.y2, other.y2)];
    const common = areaOf({ x1, y1, x2, y2 });
    return common && common / (areaOf(one) + areaOf(other) - common);
  }

  async function takeGolden({ dataset, firstChild }) {
    try {
      const response = await fetch(firstChild.src);
      if (!response.ok) throw new Error(`status ${response.status}`);
      const copy = await response.blob();
      drop.take(new File([copy], `Row ${dataset.goldenRow} of the golden set`, { type: copy.type }));
      form.requestSubmit();
    } catch {
      form.querySelector("[role=status]").textContent = "The picture cannot be fetched. Reload this page.";
    }
  }

  for (const button of form.querySelectorAll("[data-golden-row]")) button.addEventListener("click", () => takeGolden(button));
  window.rhAskBoth(form, request, show, refuse);
})();
