"use strict";
(() => {
  const narrow = window.matchMedia("(max-width: 36rem)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // The two colours of the palette that a dark page would swallow.
  const brighter = { "#0072B2": "#3FA0E0", "#444444": "#B9C1CB", "#1B2430": "#E6EAEF", "#5B6673": "#A3AEBB" };

  function recolour(part) {
    for (const [key, value] of Object.entries(part)) {
      if (value && typeof value === "object") recolour(value);
      else if (key === "color" && brighter[value]) part[key] = brighter[value];
    }
    return part;
  }

  function draw(chart) {
    const { data, layout } = JSON.parse(chart.querySelector("script").textContent);
    const style = getComputedStyle(document.documentElement);
    if (dark.matches && !printing) { recolour(data); recolour(layout); }
    for (const axis of ["xaxis", "yaxis"]) layout.template.layout[axis].gridcolor = style.getPropertyValue("--grid").trim();
    if (narrow.matches && !printing) {
      // The notes stay in the hover texts and in the table.
      layout.annotations = (layout.annotations ?? []).filter((text) => text.name !== "note");
      layout.margin.r = 16;
      layout.template.layout.font.size = 11;
    }
    const target = chart.querySelector(".drawing");
    target.hidden = false;
    chart.querySelector(".undrawn").hidden = true;
    return Plotly.react(target, data, layout, {
      responsive: true, displaylogo: false, showSendToCloud: false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    });
  }

  let printing = false;
  const charts = [...document.querySelectorAll(".chart")];
  const drawAll = () => charts.forEach(draw);
  drawAll();
  const tables = [...document.querySelectorAll("figure details")];
  const open = (yes) => tables.forEach((table) => { table.open = yes; });
  open(false); // without this script they stay open
  for (const query of [dark, narrow]) query.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => { printing = true; open(true); drawAll(); });
  window.addEventListener("afterprint", () => { printing = false; open(false); drawAll(); });
})();
