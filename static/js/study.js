// The plot of a study: the selected metric over the first field, one line per value of the second.

import { tickStyle, tooltipStyle } from "./chart-options.js";
import { byId, first, make } from "./dom.js";
import { figure, formatted } from "./format.js";
import { axisOf, pointsOf } from "./study-plot.js";
import { themeColours } from "./theme.js";

/** @typedef {import("./study-plot.js").Plot} Plot */

const TONES = ["accent", "self", "good", "bad", "teacher", "ink"];
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const MARKS = ["circle", "triangle", "rect", "rectRot", "cross", "star"];
// The same marks for the legend.
const KEY_MARKS = [
  '<circle cx="7" cy="4" r="2"/>',
  '<path d="M7 1.5 9.5 6h-5z"/>',
  '<path d="M5 2h4v4H5z"/>',
  '<path d="M7 1 10 4 7 7 4 4z"/>',
  '<path d="M5 2l4 4M9 2 5 6"/>',
  '<path d="M7 1v6M4.5 2.5l5 3M9.5 2.5l-5 3"/>',
];
const select = /** @type {HTMLSelectElement} */ (byId("measure"));
/** @type {ChartHandle | null} */
let chart = null;
let drawn = "";

/** Draws the interval of each point as a vertical line. */
const intervals = {
  id: "intervals",
  /** @param {any} drawing */
  afterDatasetsDraw(drawing) {
    const { ctx, scales } = drawing;
    drawing.data.datasets.forEach((/** @type {any} */ line, /** @type {number} */ place) => {
      const { data } = drawing.getDatasetMeta(place);
      ctx.save();
      ctx.strokeStyle = line.borderColor;
      ctx.lineWidth = 1.2;
      ctx.beginPath();
      line.data.forEach(
        (/** @type {ReturnType<typeof pointsOf>[number]} */ { low, high }, /** @type {number} */ at) => {
          if (low === undefined || high === undefined || !data[at]) return;
          const { x } = data[at];
          const [bottom, top] = [scales.y.getPixelForValue(low), scales.y.getPixelForValue(high)];
          ctx.moveTo(x, bottom);
          ctx.lineTo(x, top);
          for (const y of [bottom, top]) {
            ctx.moveTo(x - 4, y);
            ctx.lineTo(x + 4, y);
          }
        },
      );
      ctx.stroke();
      ctx.restore();
    });
  },
};

/** @param {Plot} plot */
function offerMeasures(plot) {
  const chosen = select.value || plot.measures[0]?.key;
  select.replaceChildren(...plot.measures.map(({ key, label }) => new Option(label, key, false, key === chosen)));
}

function draw() {
  const text = byId("plot-data").textContent ?? "";
  /** @type {Plot} */
  const plot = JSON.parse(text);
  byId("study-plot").hidden = !plot.measures.length;
  if (!plot.measures.length || !window.Chart) return;
  offerMeasures(plot);
  const measure = plot.measures.find(({ key }) => key === select.value) ?? plot.measures[0];
  const state = `${measure.key} ${document.documentElement.dataset.theme ?? ""} ${text}`;
  if (state === drawn) return;
  drawn = state;
  const theme = themeColours([...TONES, "mute", "line", "panel"]);
  chart?.destroy();
  chart = new window.Chart(/** @type {HTMLCanvasElement} */ (byId("plot")), optionsOf(plot, measure, theme));
  drawKeys(plot, measure, theme);
}

/**
 * @param {Plot} plot
 * @param {Plot["measures"][number]} measure
 * @param {Record<string, string>} theme
 */
function optionsOf(plot, measure, theme) {
  const axis = axisOf(plot);
  const tick = tickStyle(theme);
  const bounds = plot.series.flatMap(({ points }) =>
    pointsOf(points, measure, axis).flatMap(({ low, high }) =>
      low === undefined || high === undefined ? [] : [low, high],
    ),
  );
  return {
    type: "line",
    plugins: [intervals],
    data: {
      labels: plot.words,
      datasets: plot.series.map(({ label, points }, place) => ({
        label,
        data: pointsOf(points, measure, axis),
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
          ticks: {
            ...tick,
            maxRotation: 0,
            ...(axis === "category" ? {} : { callback: (/** @type {number} */ value) => figure(value) }),
          },
        },
        y: {
          border: { display: false },
          grid: { color: theme.line, drawTicks: false },
          grace: "8%",
          ...(bounds.length ? { suggestedMin: Math.min(...bounds), suggestedMax: Math.max(...bounds) } : {}),
          ticks: {
            ...tick,
            maxTicksLimit: 6,
            padding: 6,
            callback: (/** @type {number} */ value) => formatted(value, measure.format, 1),
          },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          ...tooltipStyle(theme),
          callbacks: {
            title: (/** @type {TooltipItem[]} */ items) =>
              `${plot.x} ${axis === "category" ? items[0].label : figure(items[0].parsed.x)}`,
            label: (/** @type {TooltipItem} */ item) => {
              const { low, high } = /** @type {ReturnType<typeof pointsOf>[number]} */ (item.raw);
              const text = `${item.dataset.label} ${formatted(item.parsed.y, measure.format, 1)}`.trim();
              if (low === undefined || high === undefined) return text;
              return `${text}, 95 % interval ${formatted(low, measure.format, 1)} to ${formatted(high, measure.format, 1)}`;
            },
          },
        },
      },
    },
  };
}

/**
 * Draw the legend.
 *
 * @param {Plot} plot
 * @param {Plot["measures"][number]} measure
 * @param {Record<string, string>} theme
 */
function drawKeys(plot, measure, theme) {
  byId("plot-what").textContent = plot.series_of ? `${measure.label} by ${plot.series_of}` : measure.label;
  byId("plot-keys").replaceChildren(
    ...(plot.series_of ? plot.series : []).map(({ label }, place) => {
      const key = make("span", "key");
      const mark = KEY_MARKS[place % KEY_MARKS.length];
      key.insertAdjacentHTML(
        "beforeend",
        `<svg viewBox="0 0 14 8" aria-hidden="true"><path d="M0 4h14"/>${mark}</svg>`,
      );
      const svg = first("svg", key);
      if (svg) svg.style.color = theme[TONES[place % TONES.length]];
      key.append(label);
      return key;
    }),
  );
}

// Do not swap a part with an open question or details element.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target } = event.detail;
  const open = target.id === "study-live" ? "details[open]" : "details.ask[open]";
  if (target.querySelector?.(open)) event.detail.shouldSwap = false;
});
select.addEventListener("change", draw);
document.addEventListener("themechange", () => {
  drawn = "";
  draw();
});
document.addEventListener("htmx:afterSwap", draw);
if (document.readyState === "complete") draw();
else window.addEventListener("load", draw);
