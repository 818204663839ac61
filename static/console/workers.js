"use strict";
// The page asks for itself again when a run changes, at most once a second, and every five seconds for the workers.
(() => {
  const workers = document.getElementById("workers");
  let due = null;
  async function refresh() {
    due = null;
    const response = await fetch("?part=all");
    if (!response.ok || response.redirected) return;
    workers.innerHTML = await response.text();
    document.dispatchEvent(new Event("pieces"));
  }
  document.addEventListener("tenant", () => { due = due || setTimeout(refresh, 1000); });
  document.addEventListener("tenant-live", (event) => badge(event.detail));
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
})();
