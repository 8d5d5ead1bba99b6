// The lines of a study: the measure that is chosen, over the first field, a line for each value of the second.

import { colour, short } from "./charts.js";

const TONES = ["accent", "self", "good", "bad", "teacher", "ink"];
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const MARKS = ["circle", "triangle", "rect", "rectRot", "cross", "star"];
// The same marks in the key, as far as they are easy to tell at its size.
const SIGNS = [
  '<circle cx="7" cy="4" r="2"/>',
  '<path d="M7 1.5 9.5 6h-5z"/>',
  '<path d="M5 2h4v4H5z"/>',
  '<path d="M7 1 10 4 7 7 4 4z"/>',
  '<path d="M5 2l4 4M9 2 5 6"/>',
  '<path d="M7 1v6M4.5 2.5l5 3M9.5 2.5l-5 3"/>',
];
const select = document.getElementById("measure");
let chart = null;
let drawn = "";

const read = () => JSON.parse(document.getElementById("plot-data").textContent);
const shown = (value, form) => (form === "percent" ? `${(100 * value).toFixed(1)}\u00a0%` : short(value));

function offer(plot) {
  const chosen = select.value || plot.measures[0]?.key;
  select.replaceChildren(...plot.measures.map(({ key, label }) => new Option(label, key, false, key === chosen)));
}

/** A logarithmic axis where the values span more than a factor of thirty and all are above 0. */
function scaleOf(plot) {
  if (!plot.numeric) return "category";
  const numbers = plot.series.flatMap(({ points }) => points.map(({ x }) => x));
  return Math.min(...numbers) > 0 && Math.max(...numbers) / Math.min(...numbers) > 30 ? "logarithmic" : "linear";
}

function draw() {
  const text = document.getElementById("plot-data").textContent;
  const plot = read();
  document.getElementById("study-plot").hidden = !plot.measures.length;
  if (!plot.measures.length || !window.Chart) return;
  offer(plot);
  const measure = plot.measures.find(({ key }) => key === select.value) ?? plot.measures[0];
  const state = `${measure.key} ${document.documentElement.dataset.theme ?? ""} ${text}`;
  if (state === drawn) return;
  drawn = state;
  const theme = Object.fromEntries([...TONES, "mute", "line", "panel"].map((name) => [name, colour(name)]));
  const axis = scaleOf(plot);
  const tick = { color: theme.mute, font: { family: "Inter, system-ui, sans-serif", size: 11 } };
  chart?.destroy();
  chart = new window.Chart(document.getElementById("plot"), {
    type: "line",
    data: {
      labels: plot.words,
      datasets: plot.series.map(({ label, points }, place) => ({
        label,
        data: points
          .filter(({ y }) => y[measure.key] !== null && y[measure.key] !== undefined)
          .map(({ x, word, y }) => ({ x: axis === "category" ? word : x, y: y[measure.key] }))
          .sort((one, other) => (axis === "category" ? 0 : one.x - other.x)),
        borderColor: theme[TONES[place % TONES.length]],
        backgroundColor: theme[TONES[place % TONES.length]],
        borderDash: DASHES[Math.floor(place / TONES.length) % DASHES.length],
        pointStyle: MARKS[place % MARKS.length],
        borderWidth: 1.8,
        pointRadius: 4,
        pointHoverRadius: 6,
        tension: 0,
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "nearest", intersect: false },
      scales: {
        x: {
          type: axis,
          offset: axis === "category",
          title: { display: true, text: plot.x, color: theme.mute, font: tick.font },
          border: { display: false },
          grid: { display: false },
          ticks: { ...tick, maxRotation: 0, ...(axis === "category" ? {} : { callback: (value) => short(value) }) },
        },
        y: {
          border: { display: false },
          grid: { color: theme.line, drawTicks: false },
          grace: "8%",
          ticks: { ...tick, maxTicksLimit: 6, padding: 6, callback: (value) => shown(value, measure.form) },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          backgroundColor: theme.ink,
          titleColor: theme.panel,
          bodyColor: theme.panel,
          displayColors: false,
          padding: 8,
          titleFont: tick.font,
          bodyFont: tick.font,
          callbacks: {
            title: (items) => `${plot.x} ${axis === "category" ? items[0].label : short(items[0].parsed.x)}`,
            label: (item) => `${item.dataset.label} ${shown(item.parsed.y, measure.form)}`.trim(),
          },
        },
      },
    },
  });
  name(plot, measure, theme);
}

/** Which line is which, with its colour and its mark. */
function name(plot, measure, theme) {
  document.getElementById("plot-what").textContent = plot.series_of ? `${measure.label}, a line for each ${plot.series_of}` : measure.label;
  document.getElementById("plot-keys").replaceChildren(
    ...(plot.series_of ? plot.series : []).map(({ label }, place) => {
      const key = document.createElement("span");
      key.className = "key";
      key.insertAdjacentHTML("beforeend", '<svg viewBox="0 0 14 8" aria-hidden="true"><path d="M0 4h14"/></svg>');
      key.querySelector("svg").insertAdjacentHTML("beforeend", SIGNS[place % SIGNS.length]);
      key.querySelector("svg").style.color = theme[TONES[place % TONES.length]];
      key.append(label);
      return key;
    }),
  );
}

// A question that stands open is answered before the page under it is drawn anew.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.querySelector?.("details.ask[open]")) event.detail.shouldSwap = false;
});
select.addEventListener("change", draw);
document.addEventListener("themechange", () => {
  drawn = "";
  draw();
});
document.addEventListener("htmx:afterSwap", draw);
// A question that is open is not taken away from under the reader's hands.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "study-live" && event.detail.target.querySelector("details[open]")) event.detail.shouldSwap = false;
});
if (document.readyState === "complete") draw();
else window.addEventListener("load", draw);
