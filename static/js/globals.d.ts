// Types of what the pages load besides these modules: Chart.js, htmx and the events that they send.

/** A chart of Chart.js, as far as the pages use it. */
interface ChartHandle {
  data: { datasets: object[] };
  update(mode?: string): void;
  destroy(): void;
}

interface Window {
  Chart?: new (canvas: HTMLCanvasElement, options: object) => ChartHandle;
  htmx?: { process(element: Element): void };
}

interface HtmxDetail {
  elt: Element;
  target: Element;
  xhr: XMLHttpRequest;
  shouldSwap: boolean;
  successful: boolean;
}

interface PageEvents {
  "htmx:responseError": CustomEvent<HtmxDetail>;
  "htmx:sendError": CustomEvent<HtmxDetail>;
  "htmx:beforeRequest": CustomEvent<HtmxDetail>;
  "htmx:afterRequest": CustomEvent<HtmxDetail>;
  "htmx:beforeSwap": CustomEvent<HtmxDetail>;
  "htmx:afterSwap": CustomEvent<HtmxDetail>;
  "htmx:afterSettle": CustomEvent<HtmxDetail>;
  themechange: CustomEvent;
}

interface DocumentEventMap extends PageEvents {}
interface HTMLElementEventMap extends PageEvents {}

/** A value under the pointer, as Chart.js hands it to the callbacks of its tooltip. */
interface TooltipItem {
  label: string;
  dataset: { label: string };
  parsed: { x: number; y: number };
  raw: unknown;
}
