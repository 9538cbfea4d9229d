// Shows the first rows of the chosen file, or of the pasted rows, and how they fill the Model's inputs. Only the first bytes are
// sent (of a zip the last ones, which list its files), and the server stores nothing.
"use strict";

(() => {
  const WAIT_MS = 300;
  const MAX_PASTED = 48 * 1024; // characters
  const ID = "rh-job-form";

  let waiting = 0;
  let request = null;

  const form = () => document.getElementById(ID);

  // The form's fields, with a part of the file in place of the file.
  function fields() {
    const data = new FormData(form());
    const file = data.get("file");
    const pasted = data.get("pasted");
    const most = Number(form().dataset.previewBytes);
    data.delete("file");
    if (file?.size) {
      data.set("file_name", file.name);
      const isZip = data.get("format") === "zip" || (!data.get("format") && /\.zip$/i.test(file.name));
      data.set("file", isZip ? file.slice(-most) : file.slice(0, most), "part");
      if (file.size <= most) data.set("is_whole", "yes");
    } else {
      data.set("pasted", pasted.slice(0, MAX_PASTED));
      if (pasted.length <= MAX_PASTED) data.set("is_whole", "yes");
    }
    return { data, hasRows: Boolean(file?.size) || Boolean(pasted.trim()) };
  }

  async function show() {
    const place = document.getElementById("rh-job-preview");
    const { data, hasRows } = fields();
    request?.abort();
    place.hidden = !hasRows || !data.get("model").trim();
    if (place.hidden) return;
    const own = (request = new AbortController());
    place.setAttribute("aria-busy", "true");
    if (!place.children.length) place.textContent = "Reading the first rows …";
    try {
      const answer = await fetch(form().dataset.preview, { method: "POST", body: data, signal: own.signal, redirect: "error" });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      const html = await answer.text();
      if (own === request) place.innerHTML = html; // made by our own template, which escapes the file's values
    } catch (error) {
      if (error.name === "AbortError") return;
      place.textContent = "The first rows cannot be shown: the server cannot be reached, or the file can no longer be read. You can still start the job.";
    } finally {
      if (own === request) place.removeAttribute("aria-busy");
    }
  }

  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(show, WAIT_MS);
  }

  for (const kind of ["input", "change"]) {
    document.addEventListener(kind, (event) => {
      if (event.target.form?.id === ID) later();
    });
  }
  document.addEventListener("rh:swapped", later);
  if (fields().hasRows) show();
})();
