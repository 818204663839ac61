"use strict";
// Ctrl+Enter (or the Mac's command key) in the text sends the form, as in other programs one writes to.
document.querySelector("main form")?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
});
