// The checkpoint page: the curves of the training that made it.

import { Curves } from "./charts.js";
import { byId, readJson } from "./dom.js";
import "./lineage.js";

if (document.getElementById("curve-data"))
  new Curves(byId("charts"), byId("curve-switch")).load(readJson("curve-data"));
