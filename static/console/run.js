"use strict";
// The page holds the events up to a number. What comes after it is asked for as the same piece of HTML the page is made of.
(() => {
  const list = document.getElementById("events"), news = document.getElementById("news");
  const template = document.getElementById("saying"), says = document.getElementById("says");
  const steps = document.getElementById("steps"), actions = document.getElementById("actions"), views = document.getElementById("views");
  const saying = new Map();
  let asking = false, again = false;
  const seq = () => Number(list.querySelector(".event[data-seq]:last-of-type")?.dataset.seq
    ?? [...list.querySelectorAll("[data-seq]")].pop()?.dataset.seq ?? 0);
  const over = () => document.getElementById("summary").dataset.over === "true";

  async function refresh() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const response = await fetch(list.dataset.url + "?after=" + seq());
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      news.replaceChildren(...page.querySelector("[data-summary]").childNodes);
      if (!actions.querySelector("details[open]")) actions.replaceChildren(...page.querySelector("[data-actions]").childNodes);
      retell(page.querySelector("[data-steps]"));
      document.dispatchEvent(new Event("pieces"));
      const bottom = window.innerHeight + window.scrollY >= document.body.offsetHeight - 80;
      let fresh = 0;
      for (const event of [...page.querySelectorAll("[data-events] > li")]) {
        if (document.getElementById(event.id)) continue;
        fresh += 1;
        hush(event);
        list.append(event);
      }
      if (fresh && seq() < Number(document.getElementById("summary").dataset.seq)) again = true;  // it was a page of them
      if (bottom && !over()) window.scrollTo({ top: document.body.scrollHeight });
    } finally {
      asking = false;
      if (again) { again = false; refresh(); }
    }
  }

  // The newest steps take the place of those that they continue; what is open stays open, and earlier ones stay there.
  function retell(fresh) {
    for (const step of [...fresh.children]) {
      const before = step.id && document.getElementById(step.id);
      if (!before) continue;
      step.querySelector("details").open = before.querySelector("details").open;
      before.remove();
    }
    const first = fresh.firstElementChild?.dataset.from;
    [...steps.children].filter((step) => Number(step.dataset.from) >= Number(first)).forEach((step) => step.remove());
    steps.append(...fresh.children);
  }

  function show(view) {
    steps.hidden = view !== "steps";
    list.hidden = view !== "events";
    for (const link of views.children) link.toggleAttribute("aria-current", link.dataset.view === view);
  }
  views.addEventListener("click", (event) => {
    const view = event.target.dataset.view;
    if (!view || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    history.replaceState(null, "", "?view=" + view);
    show(view);
  });
  const aimed = decodeURIComponent(location.hash.slice(1));
  if (aimed.startsWith("step:")) {
    const step = document.getElementById(aimed);
    if (step) { step.querySelector("details").open = true; step.scrollIntoView({ block: "center" }); }
  } else if (/^e\d+$/.test(aimed)) show("events");

  // The finished message takes the place of what was shown while it came.
  function hush(event) {
    const step = event.dataset.kind === "model.completed" ? event.dataset.step : null;
    if (step !== null && saying.has(step)) { saying.get(step).remove(); saying.delete(step); }
    if (event.dataset.kind.startsWith("run.") && over()) { saying.forEach((e) => e.remove()); saying.clear(); }
  }

  function say({ step_key, data: { text, offset } }) {
    if (!saying.has(step_key)) {
      const element = template.content.firstElementChild.cloneNode(true);
      element.querySelector(".step").textContent = step_key;
      saying.set(step_key, element);
      says.append(element);
    }
    const shown = saying.get(step_key).querySelector(".text");
    shown.textContent = shown.textContent.slice(0, offset) + text;
  }

  if (over()) return;
  listen(() => list.dataset.socket + "?after=" + seq(), {
    heard: (event) => (event.kind === "model.delta" ? say(event) : refresh()),
    poll: refresh,
    state: badge,
  });
})();
