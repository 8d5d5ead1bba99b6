// The checkpoint page: its training curves.

import { Curves } from "./charts.js";
import { byId, readJson } from "./dom.js";
import "./lineage.js";

if (document.getElementById("curve-data"))
  new Curves(byId("charts"), byId("curve-switch"), readJson("chart-data")).load(readJson("curve-data"));
