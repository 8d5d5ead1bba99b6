// The checkpoint page: the curves of the training that made it.

import { Curves } from "./charts.js";
import "./lineage.js";

const data = document.getElementById("curve-data");
if (data) new Curves(document.getElementById("charts"), document.getElementById("curve-switch")).load(JSON.parse(data.textContent));
