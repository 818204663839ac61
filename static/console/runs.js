"use strict";
// The list asks for its rows again when a run changes, at most twice a second.
(() => {
  const rows = document.getElementById("runs");
  let due = null;
  async function refresh() {
    due = null;
    const query = new URLSearchParams(location.search);
    query.set("part", "rows");
    const response = await fetch("?" + query);
    if (response.ok && !response.redirected) rows.innerHTML = await response.text();
  }
  document.addEventListener("tenant", () => { due = due || setTimeout(refresh, 500); });
  document.addEventListener("tenant-live", (event) => badge(event.detail));
})();
