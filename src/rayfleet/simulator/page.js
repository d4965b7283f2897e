"use strict";
// Shows the values under the pointer: each figure carries its curves as JSON.
for (const figure of document.querySelectorAll("[data-plot]")) {
  const plot = JSON.parse(figure.dataset.plot), svg = figure.querySelector("svg");
  const out = figure.querySelector("output"), cross = svg.querySelector(".cross");
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number), left = 56, right = 14;
  const short = value => value.toLocaleString("en", { maximumSignificantDigits: 4 });
  const time = s => s < 120 ? `${s.toFixed(0)} s` : `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, "0")} h`;
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * width;
    const at = Math.min(1, Math.max(0, (x - left) / (width - left - right))) * plot.until;
    const told = plot.series.map(s => {
      const value = s.values[Math.min(s.values.length - 1, Math.floor(at / s.step))];
      return value === undefined ? "" : `${s.name} ${short(value)}${plot.unit}`;
    });
    cross.setAttribute("d", `M${x} 10V${height - 24}`);
    out.textContent = [time(at), ...told.filter(Boolean)].join("  ·  ");
  });
  svg.addEventListener("pointerleave", () => { cross.setAttribute("d", ""); out.textContent = ""; });
}
