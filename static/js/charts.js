// The training curves, drawn by Chart.js in the colours of the page: one idea a chart, each with its unit.

// name of the curve, what the key says, class of the stylesheet that colours it
const LOSS = { title: "Loss", lines: [["loss", "loss", "ink"]], smooth: true };
const MACHINE = [
  { title: "Gradient norm", unit: "before it is cut", limit: true, lines: [["grad_norm", "norm", "ink"]], smooth: true },
  { title: "Learning rate", lines: [["learning_rate", "rate", "accent"]] },
  { title: "Speed", unit: "tokens a second", zero: true, lines: [["tokens_per_second", "speed", "ink"]], smooth: true },
  { title: "Memory", unit: "GB", zero: true, scale: 1e-9, lines: [["memory_bytes", "memory", "ink"]] },
];
const SHAPES = {
  training: [
    { title: "Rewards", unit: "β · nats", lines: [["chosen_reward", "chosen", "good"], ["rejected_reward", "rejected", "bad"]], smooth: true },
    { title: "Margin", unit: "β · nats", lines: [["margin", "margin", "ink"], ["augmented_margin", "Δ", "accent"]], smooth: true },
    { title: "Accuracy", unit: "pairs in order", share: true, lines: [["accuracy", "plain", "ink"], ["augmented_accuracy", "augmented", "accent"]], smooth: true },
    LOSS,
    { title: "KL estimate", unit: "nats a response", lines: [["kl", "KL", "accent"]], smooth: true },
    ...MACHINE,
  ],
  sft: [{ ...LOSS, unit: "nats a token" }, ...MACHINE],
};
// More points than this on one line are thinned out by the server again.
export const MOST_POINTS = 900;

/** A colour of the stylesheet as the browser computes it in the present theme. */
export function colour(name) {
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
    this.notes = document.getElementById("curve-notes");
    this.drawn = 0;
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
      for (const shape of SHAPES_OF(curve)) {
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
    // A curve that appears now needs a chart, or a line and a key in one that is there.
    if (SHAPES_OF(curve).reduce((sum, shape) => sum + lines(shape, curve).length, 0) !== this.drawn) {
      this.draw();
      return;
    }
    for (const { chart, shape, keys } of this.charts) {
      const drawn = lines(shape, curve);
      chart.data.datasets = datasets(shape, curve, this.theme);
      keys.forEach((key, place) => (key.textContent = newest(shape, curve.lines[drawn[place][0]])));
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
    document.getElementById("no-curves").hidden = this.curves.size > 0;
    const curve = this.curves.get(this.chosen);
    if (!curve || !window.Chart) return;
    if (this.curves.size > 1) this.drawChoice();
    const theme = (this.theme = Object.fromEntries(["ink", "mute", "line", "good", "bad", "accent", "panel"].map((name) => [name, colour(name)])));
    this.drawn = 0;
    this.drawNotes(curve);
    for (const shape of SHAPES_OF(curve)) {
      const drawn = lines(shape, curve);
      if (!drawn.length) continue;
      this.drawn += drawn.length;
      const figure = document.createElement("figure");
      figure.className = "chart";
      const keys = this.drawHead(figure, shape, curve);
      const frame = document.createElement("div");
      frame.className = "chart-box";
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${shape.title}${shape.unit ? `, ${shape.unit},` : ""} of ${curve.label} by training step`);
      frame.append(canvas);
      figure.append(frame);
      this.box.append(figure);
      this.charts.push({ chart: new window.Chart(canvas, options(shape, curve, theme)), shape, keys });
    }
  }

  /** Take the server's notes on the curves, and leave the lines as they are. */
  annotate(curves) {
    for (const curve of curves) {
      const known = this.curves.get(this.key(curve));
      if (known) Object.assign(known, { notes: curve.notes, limit: curve.limit });
    }
    const chosen = this.curves.get(this.chosen);
    if (chosen) this.drawNotes(chosen);
  }

  /** What the chosen curves show, in words, each with the row of the manual that says what to do. */
  drawNotes(curve) {
    if (!this.notes) return;
    this.notes.replaceChildren(
      ...(curve.notes ?? []).map(({ key, title, text }) => {
        const item = document.createElement("li");
        item.className = "note";
        const name = document.createElement("b");
        name.textContent = title;
        const link = document.createElement("a");
        link.href = `${this.notes.dataset.manual}#${key}`;
        link.textContent = "What to do";
        item.append(name, ` ${text} `, link);
        return item;
      }),
    );
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
    if (shape.unit) {
      const unit = document.createElement("small");
      unit.className = "mute";
      unit.textContent = shape.unit;
      title.append(" ", unit);
    }
    const list = document.createElement("span");
    list.className = "keys";
    const drawn = lines(shape, curve);
    const values = drawn.map(([name, label, tone]) => {
      const key = document.createElement("span");
      key.className = `key ${tone}`;
      if (drawn.length > 1) {
        key.insertAdjacentHTML("beforeend", '<svg viewBox="0 0 14 8" aria-hidden="true"><path d="M0 4h14"/></svg>');
        key.append(label);
      }
      const value = document.createElement("b");
      value.textContent = newest(shape, curve.lines[name]);
      key.append(value);
      list.append(key);
      return value;
    });
    head.append(title, list);
    figure.append(head);
    return values;
  }
}

const SHAPES_OF = (curve) => (curve.lines.margin || curve.stage !== "sft" ? SHAPES.training : SHAPES.sft);

/** The lines of a chart that this training has. */
function lines(shape, curve) {
  return shape.lines.filter(([name]) => curve.lines[name]?.length);
}

function newest(shape, line) {
  const value = line?.length ? line[line.length - 1][1] : null;
  if (value === null) return "–";
  return shape.share ? `${Math.round(100 * value)}\u00a0%` : short(value * (shape.scale ?? 1));
}

function points(line = [], scale = 1) {
  return line.map(([x, y]) => ({ x, y: y * scale }));
}

/** The mean of the values before each point, over a fifteenth of the line; a short line stays as it is. */
function running(data) {
  const width = Math.ceil(data.length / 15);
  let sum = 0;
  return data.map(({ x, y }, place) => {
    sum += y - (place >= width ? data[place - width].y : 0);
    return { x, y: sum / Math.min(place + 1, width) };
  });
}
const FEWEST_TO_SMOOTH = 30;
const ALONE = { pointRadius: 3, clip: 4 }; // a line of one point would draw nothing

function datasets(shape, curve, theme) {
  const style = { borderWidth: 1.8, pointRadius: 0, pointHoverRadius: 3, tension: 0 };
  const strong = [];
  const faint = [];
  let longest = 0;
  for (const [name, label, tone] of lines(shape, curve)) {
    const data = points(curve.lines[name], shape.scale);
    longest = Math.max(longest, data[data.length - 1].x);
    const colours = { borderColor: theme[tone], backgroundColor: theme[tone], ...(data.length === 1 && ALONE) };
    if (shape.smooth && data.length >= FEWEST_TO_SMOOTH) {
      strong.push({ ...style, ...colours, label, data: running(data) });
      faint.push({ ...style, ...colours, label: "", data, borderWidth: 1, borderColor: faded(theme[tone]), pointHoverRadius: 0 });
    } else strong.push({ ...style, ...colours, label, data });
  }
  const guide = shape.share ? 0.5 : shape.limit ? curve.limit : null;
  const end = curve.steps ?? longest;
  if (guide) {
    const data = [{ x: 0, y: guide }, { x: end, y: guide }];
    faint.push({ ...style, label: "", data, borderColor: theme.mute, borderWidth: 1, borderDash: [4, 4], pointHoverRadius: 0 });
  }
  return [...strong, ...faint]; // the first is on top
}

/** The colour of the line of single steps behind the line of their means. */
function faded(value) {
  return value.startsWith("rgb(") ? value.replace("rgb(", "rgba(").replace(")", ", 0.28)") : `color-mix(in srgb, ${value} 28%, transparent)`;
}

function options(shape, curve, theme) {
  const tick = { color: theme.mute, font: { family: "Inter, system-ui, sans-serif", size: 11 } };
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
            callback: (value, place) => (place ? value.toLocaleString("en-GB") : `step ${value}`),
          },
        },
        y: {
          border: { display: false },
          grid: { color: theme.line, drawTicks: false },
          ...(shape.share ? { suggestedMin: 0.4, max: 1 } : {}),
          ...(shape.zero ? { min: 0 } : {}),
          ticks: {
            ...tick,
            maxTicksLimit: 4,
            padding: 6,
            callback: (value) => (shape.share ? `${Math.round(100 * value)}\u00a0%` : short(value)),
          },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          backgroundColor: theme.ink,
          titleColor: theme.panel,
          bodyColor: theme.panel,
          displayColors: false,
          filter: (item) => item.dataset.label !== "",
          padding: 8,
          titleFont: tick.font,
          bodyFont: tick.font,
          callbacks: {
            title: (items) => `step ${items[0].parsed.x.toLocaleString("en-GB")}`,
            label: (item) =>
              `${item.dataset.label} ${shape.share ? `${(100 * item.parsed.y).toFixed(1)}\u00a0%` : short(item.parsed.y)}`,
          },
        },
      },
    },
  };
}
