"use strict";
// Shows what is under the pointer: each figure carries its curves, or its machines, as JSON.
const LEFT = 62, TOP = 22, BOTTOM = 40, GANTT_RIGHT = 118;
const short = value => value.toLocaleString("en", { maximumSignificantDigits: 4 });
const two = n => String(n).padStart(2, "0");
const time = s => s < 120 ? `${s.toFixed(0)} s` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)} h`;
const span = s => s < 120 ? `${s} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;

// Returns the pointer in the drawing's own units, whatever size it is shown in.
const place = (svg, event) => {
  const box = svg.getBoundingClientRect(), [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  return { x: (event.clientX - box.left) / box.width * width, y: (event.clientY - box.top) / box.height * height, width, height };
};
const moment = (x, width, right, until) => Math.min(1, Math.max(0, (x - LEFT) / (width - LEFT - right))) * until;

for (const figure of document.querySelectorAll("[data-plot]")) {
  const plot = JSON.parse(figure.dataset.plot), svg = figure.querySelector("svg");
  const out = figure.querySelector("output"), cross = svg.querySelector(".cross");
  svg.addEventListener("pointermove", event => {
    const { x, width, height } = place(svg, event), at = moment(x, width, plot.right, plot.until);
    const told = plot.series.map(s => {
      const value = s.values[Math.min(s.values.length - 1, Math.floor(at / s.step))];
      return value === undefined ? "" : `${s.name} ${short(value)}${plot.unit}`;
    });
    const line = LEFT + at / plot.until * (width - LEFT - plot.right);
    cross.setAttribute("d", `M${line} ${TOP}V${height - BOTTOM}`);
    out.textContent = [time(at), ...told.filter(Boolean)].join("  ·  ");
  });
  svg.addEventListener("pointerleave", () => { cross.setAttribute("d", ""); out.textContent = ""; });
}

for (const figure of document.querySelectorAll("[data-gantt]")) {
  const { until, top, high, words, rows } = JSON.parse(figure.dataset.gantt), svg = figure.querySelector("svg");
  const out = figure.querySelector("output"), mark = svg.querySelector(".mark"), lanes = new Map();
  for (const row of rows) lanes.set(row[0], [...(lanes.get(row[0]) || []), row]);
  svg.addEventListener("pointermove", event => {
    const { x, y, width } = place(svg, event), at = moment(x, width, GANTT_RIGHT, until);
    const scale = (width - LEFT - GANTT_RIGHT) / until, near = 3 / scale;
    const row = (lanes.get(Math.floor((y - top) / high)) || []).find(r => r[3] - near <= at && at <= r[5] + near);
    if (!row) { mark.setAttribute("d", ""); out.textContent = ""; return; }
    const [lane, pool, market, launched, joined, ended, how, usd] = row;
    mark.setAttribute("d", `M${LEFT + launched * scale} ${top + lane * high}H${LEFT + ended * scale}v${high}H${LEFT + launched * scale}z`);
    const up = joined < ended ? `up after ${span(joined - launched)}, until ${time(ended)}` : `never up, until ${time(ended)}`;
    out.textContent = `${words[pool]} (${words[market].replace("_", "-")})  ·  launched at ${time(launched)}, ${up}  ·  ${words[how]}  ·  $${usd.toFixed(2)}`;
  });
  svg.addEventListener("pointerleave", () => { mark.setAttribute("d", ""); out.textContent = ""; });
}
