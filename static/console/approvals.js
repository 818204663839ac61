"use strict";
// Keys for the inbox, and its pieces anew when something changes. Without this script everything is links and forms.
(() => {
  const list = document.getElementById("list"), detail = document.getElementById("detail");
  const split = document.getElementById("split"), help = document.getElementById("help");
  const rows = () => [...list.querySelectorAll(".row")];
  const opened = () => detail.querySelector(".question")?.dataset;
  let current = opened()?.id ?? null, asking = 0;

  function select(row) {
    rows().forEach((other) => other.classList.toggle("current", other === row));
    if (!row) return;
    current = row.dataset.id;
    row.querySelector("a").focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  function move(by) {
    const all = rows(), at = all.findIndex((row) => row.dataset.id === current);
    select(all[Math.min(Math.max(at < 0 ? 0 : at + by, 0), all.length - 1)]);
  }

  async function piece(url, name) {
    const query = new URL(url, location.href);
    query.searchParams.set("part", name);
    const response = await fetch(query);
    return response.ok && !response.redirected ? response.text() : null;
  }

  const ticked = () => [...list.querySelectorAll("input:checked")].map((box) => box.value);
  function tell() {
    const form = document.getElementById("several"), count = ticked().length;
    if (!form) return;
    form.classList.toggle("ready", count > 0);
    document.getElementById("chosen").textContent = count + " ticked";
  }

  // A row whose arguments have changed has another value, so its tick is gone: what was ticked is no longer there.
  async function refreshList(number) {
    const kept = new Set(ticked()), focused = list.contains(document.activeElement);
    const text = await piece(location.href, "list");
    if (text === null || number !== asking) return;
    list.innerHTML = text;
    list.querySelectorAll("input").forEach((box) => { box.checked = kept.has(box.value) && !box.disabled; });
    const row = rows().find((one) => one.dataset.id === current);
    row?.classList.add("current");
    if (focused) row?.querySelector("a").focus({ preventScroll: true });
    tell();
    document.dispatchEvent(new Event("pieces"));
  }

  async function refreshDetail() {
    const was = opened();
    if (!was) return;
    const text = await piece(location.href, "detail");
    if (text === null) return;
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector(".question");
    if (!fresh || fresh.dataset.version === opened()?.version) return;
    if (!isBusy()) return detail.replaceChildren(fresh);
    if (detail.querySelector(".changed")) return;
    const note = document.createElement("p");
    note.className = "problem changed";
    note.setAttribute("role", "alert");
    note.textContent = "This has changed while you were writing. Reload the page to see how it stands.";
    detail.querySelector(".question").prepend(note);
  }

  const isBusy = () => [...detail.querySelectorAll("textarea")].some((text) => text.value !== "");

  let due = null;
  document.addEventListener("tenant", () => {
    due = due || setTimeout(() => { due = null; refreshList(++asking); refreshDetail(); }, 500);
  });
  document.addEventListener("tenant-live", (event) => badge(event.detail));
  list.addEventListener("change", tell);

  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => { const box = list.querySelector(".row.current input:not(:disabled)"); if (box) { box.checked = !box.checked; tell(); } },
    a: () => {
      const button = detail.querySelector("[data-key=a]");
      if (!button) return;
      if (opened().risk === "high") { button.focus(); return; }  // a slip of the finger does nothing that matters
      button.click();
    },
    e: () => detail.querySelector("[data-key=e]")?.click(),
    r: () => {
      const answer = detail.querySelector("#reject");
      if (!answer) return;
      answer.open = true;
      answer.querySelector("textarea").focus();
    },
    "/": () => document.querySelector("input[type=search]").focus(),
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (target.closest("textarea") && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      target.form.requestSubmit(target.form.querySelector("button[name=decision]"));
      return;
    }
    if (target.matches("textarea") && event.key === "Escape") target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || event.repeat && !"jk".includes(event.key)) return;
    if (target.closest("textarea, select, input:not([type=checkbox]), [contenteditable]")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const hint = document.getElementById("keys");
  hint.hidden = false;
  hint.addEventListener("click", () => help.showModal());
  const first = rows().find((row) => row.dataset.id === current);
  first?.classList.add("current");
  split.dataset.ready = "";
  tell();
})();
