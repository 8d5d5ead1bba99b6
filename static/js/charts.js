// The training curves, drawn by Chart.js in the colours of the page.

// Which lines stand together, and which class of the stylesheet colours each.
const SHAPES = {
  training: [
    { title: "Rewards", lines: [["chosen_reward", "chosen", "good"], ["rejected_reward", "rejected", "bad"], ["margin", "margin", "ink"]] },
    { title: "Loss", low: true, lines: [["loss", "loss", "ink"]] },
    { title: "Accuracy", low: true, share: true, lines: [["accuracy", "accuracy", "accent"]] },
  ],
  sft: [
    { title: "Loss on the target tokens", lines: [["loss", "loss", "ink"]] },
    { title: "Learning rate", low: true, lines: [["learning_rate", "rate", "accent"]] },
    { title: "Gradient norm", low: true, lines: [["grad_norm", "norm", "ink"]] },
  ],
};
// More points than this on one line are thinned out by the server again.
export const MOST_POINTS = 900;

/** A colour of the stylesheet as the browser computes it in the present theme. */
function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  probe.style.color = `var(--${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-GB");
  if (size >= 0.01 || size === 0) return value.toFixed(2).replace("-", "−");
  return value.toExponential(1).replace(".0e", "e").replace("-", "−");
}

export class Curves {
  /** @param {HTMLElement} box where to draw; @param {HTMLElement} choice where the buttons M1, M2, … stand */
  constructor(box, choice) {
    this.box = box;
    this.choice = choice;
    this.curves = new Map();
    this.charts = [];
    this.chosen = null;
    this.pinned = false;
    this.dirty = false;
    document.addEventListener("themechange", () => this.draw());
  }

  /** Take the server's curves in place of what there is. */
  load(curves) {
    this.curves.clear();
    for (const curve of curves) this.curves.set(this.key(curve), curve);
    if (!this.pinned || !this.curves.has(this.chosen)) this.chosen = [...this.curves.keys()].pop() ?? null;
    this.draw();
  }

  key({ iteration, stage, series = "" }) {
    return `${iteration}:${stage}:${series}`;
  }

  /** Add the points of a metrics event. Returns true where a line has grown too long to be drawn as it is. */
  add({ iteration, stage, series = "", points }) {
    const key = this.key({ iteration, stage, series });
    let curve = this.curves.get(key);
    if (!curve) {
      curve = { iteration, stage, series, label: `M${iteration + 1}${series && `, ${series}`}`, steps: null, lines: {} };
      this.curves.set(key, curve);
      if (!this.pinned) this.chosen = key;
      this.dirty = true;
    }
    let longest = 0;
    for (const point of points) {
      if (point.total_steps && point.total_steps !== curve.steps) {
        curve.steps = point.total_steps;
        this.dirty = true; // the axis has its length now
      }
      for (const shape of SHAPES[stage] ?? SHAPES.training) {
        for (const [name] of shape.lines) {
          if (point[name] === undefined || point[name] === null) continue;
          const line = (curve.lines[name] ??= []);
          // A step trained again after a crash replaces what stood there.
          while (line.length && line[line.length - 1][0] >= point.step) line.pop();
          line.push([point.step, point[name]]);
          longest = Math.max(longest, line.length);
        }
      }
    }
    if (key === this.chosen) this.update();
    return longest > MOST_POINTS;
  }

  update() {
    if (this.dirty || !this.charts.length) {
      this.draw();
      return;
    }
    const curve = this.curves.get(this.chosen);
    for (const { chart, shape, keys } of this.charts) {
      shape.lines.forEach(([name], place) => {
        chart.data.datasets[place].data = points(curve.lines[name]);
        keys[place].textContent = short(last(curve.lines[name]));
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
    document.getElementById("no-curves").hidden = this.curves.size > 0;
    const curve = this.curves.get(this.chosen);
    if (!curve || !window.Chart) return;
    if (this.curves.size > 1) this.drawChoice();
    const theme = Object.fromEntries(["ink", "mute", "line", "good", "bad", "accent", "panel"].map((name) => [name, colour(name)]));
    let pair = null;
    for (const shape of SHAPES[curve.stage] ?? SHAPES.training) {
      if (!shape.lines.some(([name]) => curve.lines[name]?.length)) continue;
      const figure = document.createElement("figure");
      figure.className = "chart";
      const keys = this.drawHead(figure, shape, curve);
      const frame = document.createElement("div");
      frame.className = shape.low ? "chart-box low" : "chart-box";
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${shape.title} of ${curve.label} by training step`);
      frame.append(canvas);
      figure.append(frame);
      if (shape.low) {
        if (!pair) {
          pair = document.createElement("div");
          pair.className = "chart-pair";
          this.box.append(pair);
        }
        pair.append(figure);
      } else this.box.append(figure);
      this.charts.push({ chart: new window.Chart(canvas, options(shape, curve, theme)), shape, keys });
    }
  }

  drawChoice() {
    for (const [key, curve] of this.curves) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn small";
      button.textContent = curve.label;
      button.setAttribute("aria-pressed", String(key === this.chosen));
      button.addEventListener("click", () => {
        this.chosen = key;
        this.pinned = key !== [...this.curves.keys()].pop();
        this.draw();
      });
      this.choice.append(button);
    }
  }

  /** Title, and each line's colour, name and newest value. Returns the elements of the values. */
  drawHead(figure, shape, curve) {
    const head = document.createElement("figcaption");
    head.className = "chart-head";
    const title = document.createElement("span");
    title.textContent = shape.title;
    const list = document.createElement("span");
    list.className = "keys";
    const values = shape.lines.map(([name, label, tone]) => {
      const key = document.createElement("span");
      key.className = `key ${tone}`;
      if (shape.lines.length > 1) {
        key.insertAdjacentHTML("beforeend", '<svg viewBox="0 0 14 8" aria-hidden="true"><path d="M0 4h14"/></svg>');
        key.append(label);
      }
      const value = document.createElement("b");
      value.textContent = short(last(curve.lines[name]));
      key.append(value);
      list.append(key);
      return value;
    });
    head.append(title, list);
    figure.append(head);
    return values;
  }
}

function last(line) {
  return line?.length ? line[line.length - 1][1] : null;
}

function points(line = []) {
  return line.map(([x, y]) => ({ x, y }));
}

function options(shape, curve, theme) {
  const tick = { color: theme.mute, font: { family: "Inter, system-ui, sans-serif", size: 11 } };
  return {
    type: "line",
    data: {
      datasets: shape.lines.map(([name, label, tone]) => ({
        label,
        data: points(curve.lines[name]),
        borderColor: theme[tone],
        backgroundColor: theme[tone],
        borderWidth: 1.8,
        pointRadius: 0,
        pointHoverRadius: 3,
        tension: 0,
      })),
    },
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
            callback: (value, place) => (place ? value.toLocaleString("en-GB") : `step ${value}`),
          },
        },
        y: {
          border: { display: false },
          grid: { color: theme.line, drawTicks: false },
          ...(shape.share ? { suggestedMin: 0.4, max: 1 } : {}),
          ticks: { ...tick, maxTicksLimit: 4, padding: 6, callback: (value) => short(value) },
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
            title: (items) => `step ${items[0].parsed.x.toLocaleString("en-GB")}`,
            label: (item) => `${item.dataset.label} ${short(item.parsed.y)}`,
          },
        },
      },
    },
  };
}
