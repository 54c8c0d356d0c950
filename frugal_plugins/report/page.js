"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const calm = { displayModeBar: false, responsive: true };

  // "@ink" and the like stand for the colours of the style sheet, so that plots follow the reader's theme.
  const coloured = (value) => {
    if (typeof value === "string" && value.startsWith("@")) {
      return getComputedStyle(document.documentElement).getPropertyValue("--" + value.slice(1)).trim();
    }
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, coloured(part)]));
    }
    return value;
  };
  // On a phone the labels above bars stand upright, so that they do not run into each other.
  const phone = () => window.innerWidth < 640;
  const upright = (trace) => (phone() && trace.textposition === "outside" ? { ...trace, textangle: -90 } : trace);
  const narrow = (layout, labelled) => {
    if (!phone()) return layout;
    const margin = labelled ? { ...layout.margin, t: 72 } : layout.margin;
    return { ...layout, margin, font: { ...layout.font, size: 11 } };
  };
  const draw = () => {
    for (const [id, figure] of Object.entries(charts)) {
      const { data, layout } = coloured(figure);
      const labelled = data.some((trace) => trace.textposition === "outside");
      Plotly.react("plot-" + id, data.map(upright), narrow(layout, labelled), calm);
    }
  };
  draw();
  dark.addEventListener("change", draw);
  // On paper nobody can open a table, so they all are.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    draw();
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => one.setAttribute("open", ""));
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((one) => one.removeAttribute("open"));
    draw();
  });

  const search = document.getElementById("search");
  if (!search) return;
  const rows = [...document.querySelectorAll(".requests tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const count = document.getElementById("found");
  const look = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    rows.forEach((row, index) => {
      const fits = words.every((word) => texts[index].includes(word));
      row.hidden = !fits;
      found += fits ? 1 : 0;
    });
    count.textContent = found + " of " + rows.length + " shown";
  };
  search.addEventListener("input", look);
  // Every name in a table leads to the rows in which it stands.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-find]");
    if (!link) return;
    event.preventDefault();
    search.value = link.dataset.find.replace(/ \/ .*/, "");
    look();
    search.scrollIntoView({ block: "start" });
    search.focus({ preventScroll: true });
  });
})();
