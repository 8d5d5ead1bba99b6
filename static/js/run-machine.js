// Machine metrics of a run: CPU, memory, disk and GPUs.

import { all, byId, first, make, setText } from "./dom.js";
import { percent, size } from "./format.js";

/**
 * The payload of a machine metrics event; sizes in bytes, shares in percent.
 * @typedef {object} MachineMetrics
 * @property {number} [cpu]
 * @property {number} [memory]
 * @property {number} [memory_total]
 * @property {number} [disk_free]
 * @property {{name: string, memory: number, memory_total: number, utilisation?: number | null}[]} [gpus]
 */

/**
 * @param {Element} bar
 * @param {number} share 0 to 1
 */
function setBar(bar, share) {
  bar.firstElementChild?.setAttribute("width", Math.max(0, Math.min(100, 100 * share)).toFixed(1));
}

/** @param {MachineMetrics | null} metrics */
export function showMachine(metrics) {
  if (!metrics) return;
  const box = byId("machine");
  box.dataset.none = "";
  const [cpuBar, memoryBar] = all(".bar", box);
  const write = (/** @type {string} */ name, /** @type {string} */ text) => {
    const value = first(`[data-metric="${name}"]`, box);
    if (value) setText(value, text);
  };
  if (metrics.cpu !== undefined) {
    setBar(cpuBar, metrics.cpu / 100);
    write("cpu", percent(metrics.cpu / 100));
  }
  if (metrics.memory !== undefined && metrics.memory_total) {
    setBar(memoryBar, metrics.memory / metrics.memory_total);
    write("memory", `${size(metrics.memory)} of ${size(metrics.memory_total)}`);
  }
  if (metrics.disk_free !== undefined) write("disk", `${size(metrics.disk_free)} free`);
  (metrics.gpus ?? []).forEach((gpu, place) => {
    const name = `gpu${place}`;
    const value = first(`[data-metric="${name}"]`, box) ?? addGpu(box, gpu.name, name, cpuBar);
    const bar = value.previousElementSibling?.firstElementChild;
    if (bar) setBar(bar, gpu.memory / gpu.memory_total);
    const use = gpu.utilisation === null || gpu.utilisation === undefined ? "" : `, ${percent(gpu.utilisation / 100)}`;
    setText(value, `${size(gpu.memory)} of ${size(gpu.memory_total)}${use}`);
  });
}

/**
 * Add a row for a GPU. Returns its value element.
 *
 * @param {HTMLElement} box
 * @param {string} label
 * @param {string} name
 * @param {Element} bar is copied
 */
function addGpu(box, label, name, bar) {
  const holder = make("dd");
  holder.append(bar.cloneNode(true));
  const value = make("dd");
  value.dataset.metric = name;
  box.append(make("dt", "", label), holder, value);
  return value;
}
