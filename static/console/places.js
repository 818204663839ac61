"use strict";
// What changes among the tenant's runs is heard once a page; pieces of it wait for the event `tenant` on the document.
// The number of questions that wait is asked for anew, at most once a second.
(() => {
  const pending = document.getElementById("pending");
  let due = null;
  async function count() {
    due = null;
    const response = await fetch(pending.dataset.url);
    if (response.ok && !response.redirected) pending.innerHTML = await response.text();
  }
  function tell() {
    document.dispatchEvent(new Event("tenant"));
    due = due || setTimeout(count, 1000);
  }
  function state(live) {
    document.dispatchEvent(new CustomEvent("tenant-live", { detail: live }));
    if (live) tell();  // what happened between the page and the socket
  }
  listen(document.body.dataset.tenant, { heard: tell, poll: tell, state });
  setInterval(() => { if (!document.hidden) tell(); }, 20000);  // a hint that is lost costs time, no more
})();

// Each time some way off or past is said in words that stay true: <time data-until> counts down, <time data-since> up.
(() => {
  const steps = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function words(seconds) {
    if (seconds < 5) return "a moment";
    const at = steps.findIndex(([length]) => seconds >= length), [length, name] = steps[at];
    const whole = Math.floor(seconds / length), rest = seconds - whole * length;
    const below = steps[at + 1] && whole < 10 ? Math.floor(rest / steps[at + 1][0]) : 0;
    return whole + " " + name + (below ? " " + below + " " + steps[at + 1][1] : "");
  }
  function tick() {
    const now = Date.now();
    for (const element of document.querySelectorAll("time[data-until]")) {
      const left = (Date.parse(element.dateTime) - now) / 1000;
      element.textContent = left > 0 ? "in " + words(left) : "now";
      element.classList.toggle("soon", left < 3600);
    }
    for (const element of document.querySelectorAll("time[data-since]")) {
      element.textContent = words((now - Date.parse(element.dateTime)) / 1000) + " ago";
    }
  }
  tick();
  setInterval(tick, 1000);
  document.addEventListener("pieces", tick);  // somebody has put a new piece into the page
})();
