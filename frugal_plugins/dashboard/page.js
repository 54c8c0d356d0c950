"use strict";
// The figures and the latest decisions are fetched again every few seconds, from the same page; nothing else runs here.
(() => {
  const every = 5000;
  let live = document.getElementById("live");
  if (!live) return;
  let paused = false;

  const button = () => document.getElementById("pause");
  const dress = () => {
    const one = button();
    if (!one) return;
    one.hidden = false;
    one.setAttribute("aria-pressed", String(paused));
    one.textContent = paused ? "Go on" : "Pause";
  };
  live.parentElement.addEventListener("click", (event) => {
    if (event.target !== button()) return;
    paused = !paused;
    dress();
  });

  // Nobody's reading is disturbed: not while the keyboard or the pointer is in the list, nor while the page is hidden.
  const busy = () => {
    const list = document.getElementById("live-list");
    return paused || document.hidden || live.contains(document.activeElement) || (list && list.matches(":hover"));
  };
  const again = async () => {
    if (busy()) return;
    const address = new URL(window.location.href);
    address.searchParams.set("part", "live");
    address.hash = "";
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok || busy()) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (!found) return;
    live.replaceWith(found);
    live = found;
    dress();
  };
  dress();
  window.setInterval(() => again().catch(() => {}), every);
})();
