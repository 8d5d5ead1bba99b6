// Draws the training curves of a run with Chart.js, one chart per kind of metric.

import { chartOptions, datasets } from "./chart-options.js";
import { addPoints, countLines, curveKey, linesOf, MOST_POINTS, newestValue, unitOf } from "./curve-data.js";
import { byId, make } from "./dom.js";
import { formatted } from "./format.js";
import { themeColours } from "./theme.js";

/**
 * @typedef {import("./curve-data.js").Curve} Curve
 * @typedef {import("./curve-data.js").Point} Point
 * @typedef {import("./curve-data.js").Shape} Shape
 * @typedef {{chart: ChartHandle, shape: Shape, values: HTMLElement[]}} Drawn a chart and the newest values in its key
 */

const KEY_LINE = '<svg viewBox="0 0 14 8" aria-hidden="true"><path d="M0 4h14"/></svg>';
const COLOURS = ["ink", "mute", "line", "good", "bad", "accent", "panel"];

/**
 * The newest value of a line, as the key shows it.
 *
 * @param {Shape} shape
 * @param {Point[] | undefined} line
 */
const newestText = (shape, line) => formatted(newestValue(line), shape.format);

export class Curves {
  /**
   * @param {HTMLElement} box container of the charts
   * @param {HTMLElement} choice container of the buttons M1, M2, …
   * @param {Shape[]} shapes the charts, in the order of the page
   */
  constructor(box, choice, shapes) {
    this.shapes = shapes;
    this.notes = document.getElementById("curve-notes");
    this.box = box;
    this.choice = choice;
    /** @type {Map<string, Curve>} */
    this.curves = new Map();
    /** @type {Drawn[]} */
    this.charts = [];
    /** The key of the curve that is drawn. @type {string | undefined} */
    this.chosen = undefined;
    /** Whether the user selected an older curve; it then stays selected when a newer one appears. */
    this.pinned = false;
    /** Whether the charts must be recreated instead of updated. */
    this.dirty = false;
    /** @type {Record<string, string>} */
    this.theme = {};
    this.lineCount = 0;
    document.addEventListener("themechange", () => this.draw());
  }

  /**
   * Replace all curves.
   *
   * @param {Curve[]} curves
   */
  load(curves) {
    this.curves.clear();
    for (const curve of curves) this.curves.set(curveKey(curve), curve);
    if (!this.pinned || !this.chosen || !this.curves.has(this.chosen)) this.chosen = this.newestKey();
    this.draw();
  }

  newestKey() {
    return [...this.curves.keys()].pop();
  }

  /**
   * Add the points of a metrics event. Returns true if a line has too many points and must be reloaded.
   *
   * @param {{iteration: number, stage: string, series?: string, points: any[]}} payload
   */
  add({ iteration, stage, series = "", points }) {
    const key = curveKey({ iteration, stage, series });
    let curve = this.curves.get(key);
    if (!curve) {
      const label = `M${iteration + 1}${series && `, ${series}`}`;
      curve = { iteration, stage, series, label, steps: null, lines: {} };
      this.curves.set(key, curve);
      if (!this.pinned) this.chosen = key;
      this.dirty = true;
    }
    const { longest, stepsChanged } = addPoints(this.shapes, curve, points);
    if (stepsChanged) this.dirty = true;
    if (key === this.chosen) this.update(curve);
    return longest > MOST_POINTS;
  }

  /**
   * Update the charts, or recreate them for a new chart or line.
   *
   * @param {Curve} curve the chosen one
   */
  update(curve) {
    if (this.dirty || !this.charts.length || countLines(this.shapes, curve) !== this.lineCount) {
      this.draw();
      return;
    }
    for (const { chart, shape, values } of this.charts) {
      const lines = linesOf(shape, curve);
      chart.data.datasets = datasets(shape, curve, this.theme);
      values.forEach((value, place) => {
        value.textContent = newestText(shape, curve.lines[lines[place][0]]);
      });
      chart.update("none");
    }
  }

  draw() {
    this.dirty = false;
    for (const { chart } of this.charts) chart.destroy();
    this.charts = [];
    this.box.replaceChildren();
    this.choice.replaceChildren();
    this.notes?.replaceChildren();
    byId("no-curves").hidden = this.curves.size > 0;
    const curve = this.chosen ? this.curves.get(this.chosen) : undefined;
    if (!curve || !window.Chart) return;
    if (this.curves.size > 1) this.drawChoice();
    this.theme = themeColours(COLOURS);
    this.lineCount = countLines(this.shapes, curve);
    this.drawNotes(curve);
    for (const shape of this.shapes) {
      if (!linesOf(shape, curve).length) continue;
      const figureElement = make("figure", "chart");
      const values = this.drawHead(figureElement, shape, curve);
      const frame = make("div", "chart-box");
      const canvas = make("canvas");
      const unit = unitOf(shape, curve);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${shape.title}${unit ? `, ${unit},` : ""} of ${curve.label} by training step`);
      frame.append(canvas);
      figureElement.append(frame);
      this.box.append(figureElement);
      this.charts.push({ chart: new window.Chart(canvas, chartOptions(shape, curve, this.theme)), shape, values });
    }
  }

  /**
   * Replace the notes of the curves; the lines stay unchanged.
   *
   * @param {Curve[]} curves
   */
  annotate(curves) {
    for (const curve of curves) {
      const known = this.curves.get(curveKey(curve));
      if (known) Object.assign(known, { notes: curve.notes, limit: curve.limit });
    }
    const chosen = this.chosen ? this.curves.get(this.chosen) : undefined;
    if (chosen) this.drawNotes(chosen);
  }

  /**
   * Draw the notes of the selected curve, each with a link to the manual.
   *
   * @param {Curve} curve
   */
  drawNotes(curve) {
    const { notes } = this;
    notes?.replaceChildren(
      ...(curve.notes ?? []).map(({ key, title, text }) => {
        const item = make("li", "note");
        const link = make("a", "", "What to do");
        link.href = `${notes.dataset.manual}#${key}`;
        item.append(make("b", "", title), ` ${text} `, link);
        return item;
      }),
    );
  }

  drawChoice() {
    for (const [key, curve] of this.curves) {
      const button = make("button", "btn small", curve.label);
      button.type = "button";
      button.setAttribute("aria-pressed", String(key === this.chosen));
      button.addEventListener("click", () => {
        this.chosen = key;
        this.pinned = key !== this.newestKey();
        this.draw();
      });
      this.choice.append(button);
    }
  }

  /**
   * Draw the title and the legend with the newest values. Returns the value elements.
   *
   * @param {HTMLElement} figureElement
   * @param {Shape} shape
   * @param {Curve} curve
   */
  drawHead(figureElement, shape, curve) {
    const head = make("figcaption", "chart-head");
    const title = make("span", "", shape.title);
    title.title = shape.about;
    const unit = unitOf(shape, curve);
    if (unit) title.append(" ", make("small", "mute", unit));
    const keys = make("span", "keys");
    const lines = linesOf(shape, curve);
    const values = lines.map(([name, label, tone]) => {
      const key = make("span", `key ${tone}`);
      if (lines.length > 1) {
        key.insertAdjacentHTML("beforeend", KEY_LINE);
        key.append(label);
      }
      const value = make("b", "", newestText(shape, curve.lines[name]));
      key.append(value);
      keys.append(key);
      return value;
    });
    head.append(title, keys);
    figureElement.append(head);
    return values;
  }
}
