// Chart.js datasets and options for training curves. No access to the DOM.

import { isSmoothed, linesOf, runningMean, toPoints } from "./curve-data.js";
import { formatted } from "./format.js";

/**
 * @typedef {import("./curve-data.js").Curve} Curve
 * @typedef {import("./curve-data.js").Shape} Shape
 * @typedef {Record<string, string>} Theme colours by their names in the stylesheet
 */

const LINE_STYLE = { borderWidth: 1.8, pointRadius: 0, pointHoverRadius: 3, tension: 0 };
const SINGLE_POINT = { pointRadius: 3, clip: 4 }; // without a radius, a line of one point would draw nothing

/**
 * Style of axis labels.
 *
 * @param {Theme} theme
 */
export const tickStyle = (theme) => ({
  color: theme.mute,
  font: { family: "Inter, system-ui, sans-serif", size: 11 },
});

/**
 * Style of tooltips.
 *
 * @param {Theme} theme
 */
export function tooltipStyle(theme) {
  const { font } = tickStyle(theme);
  return {
    backgroundColor: theme.ink,
    titleColor: theme.panel,
    bodyColor: theme.panel,
    displayColors: false,
    padding: 8,
    titleFont: font,
    bodyFont: font,
  };
}

/**
 * A transparent variant of a colour, for single steps behind their running mean.
 *
 * @param {string} colour as the browser computes it
 */
export function faded(colour) {
  if (colour.startsWith("rgb(")) return colour.replace("rgb(", "rgba(").replace(")", ", 0.28)");
  return `color-mix(in srgb, ${colour} 28%, transparent)`;
}

/**
 * The lines of a chart: running means first (on top), then single steps and the guide line.
 *
 * @param {Shape} shape
 * @param {Curve} curve
 * @param {Theme} theme
 */
export function datasets(shape, curve, theme) {
  const strong = [];
  const faint = [];
  let longest = 0;
  for (const [name, label, tone] of linesOf(shape, curve)) {
    const data = toPoints(curve.lines[name]);
    longest = Math.max(longest, data[data.length - 1].x);
    const colours = {
      borderColor: theme[tone],
      backgroundColor: theme[tone],
      ...(data.length === 1 && SINGLE_POINT),
    };
    if (isSmoothed(shape, data)) {
      strong.push({ ...LINE_STYLE, ...colours, label, data: runningMean(data) });
      faint.push({
        ...LINE_STYLE,
        ...colours,
        label: "",
        data,
        borderWidth: 1,
        borderColor: faded(theme[tone]),
        pointHoverRadius: 0,
      });
    } else strong.push({ ...LINE_STYLE, ...colours, label, data });
  }
  const guide = { "": null, chance: 0.5, limit: curve.limit }[shape.guide];
  if (guide) {
    faint.push({
      ...LINE_STYLE,
      label: "",
      data: [
        { x: 0, y: guide },
        { x: curve.steps ?? longest, y: guide },
      ],
      borderColor: theme.mute,
      borderWidth: 1,
      borderDash: [4, 4],
      pointHoverRadius: 0,
    });
  }
  return [...strong, ...faint];
}

/**
 * The Chart.js config of one training chart.
 *
 * @param {Shape} shape
 * @param {Curve} curve
 * @param {Theme} theme
 */
export function chartOptions(shape, curve, theme) {
  const tick = tickStyle(theme);
  return {
    type: "line",
    data: { datasets: datasets(shape, curve, theme) },
    options: {
      animation: false,
      normalized: true,
      parsing: false,
      maintainAspectRatio: false,
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: {
        x: {
          type: "linear",
          bounds: curve.steps ? "ticks" : "data",
          min: 0,
          max: curve.steps ?? undefined,
          border: { display: false },
          grid: { display: false },
          ticks: {
            ...tick,
            maxTicksLimit: 5,
            maxRotation: 0,
            includeBounds: false,
            precision: 0,
            callback: (/** @type {number} */ value, /** @type {number} */ place) =>
              place ? value.toLocaleString("en-GB") : `step ${value}`,
          },
        },
        y: {
          border: { display: false },
          grid: { color: theme.line, drawTicks: false },
          ...(shape.guide === "chance" ? { suggestedMin: 0.4, max: 1 } : {}),
          ...(shape.zero ? { min: 0 } : {}),
          ticks: {
            ...tick,
            maxTicksLimit: 4,
            padding: 6,
            callback: (/** @type {number} */ value) => formatted(value, shape.format),
          },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          ...tooltipStyle(theme),
          filter: (/** @type {TooltipItem} */ item) => item.dataset.label !== "",
          callbacks: {
            title: (/** @type {TooltipItem[]} */ items) => `step ${items[0].parsed.x.toLocaleString("en-GB")}`,
            label: (/** @type {TooltipItem} */ item) =>
              `${item.dataset.label} ${formatted(item.parsed.y, shape.format, 1)}`,
          },
        },
      },
    },
  };
}
