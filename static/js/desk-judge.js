// What the desk shows once it may: the judge's scores and reasons, and what the answer would change.

const $ = (id) => document.getElementById(id);
const SIDES = ["Left", "Right"];
const CHOSEN_BY = { judge: "the judge's choice", people: "people's choice so far" };

export function hideJudge() {
  $("judge").hidden = $("change-text").hidden = true;
  $("change-none").hidden = false;
  for (const side of [0, 1]) if ($(`mark-${side}`)) $(`mark-${side}`).textContent = "";
}

function bar(source, share) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `bar ${source}`);
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("width", String(Math.max(0, Math.min(100, 100 * share))));
  rect.setAttribute("height", "8");
  svg.append(rect);
  return svg;
}

const short = (value) => String(Math.round(value * 100) / 100);

export function line(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

/** What the judge said of the item's responses, and which one it chose. */
export function showJudge(judge, item, kind) {
  const rows = judge.responses.flatMap((response, side) =>
    response.judgements.flatMap((judgement) => {
      const row = line("div", "score", "");
      const label = kind === "score" ? "score" : SIDES[side].toLowerCase();
      row.append(line("span", `src ${judgement.source}`, label));
      if (judgement.score === null) {
        row.className = "score unparsed";
        row.append(line("span", "", "no score in its reply"));
      } else row.append(bar(judgement.source, judgement.score / 5), line("span", "", short(judgement.score)));
      const samples = judgement.samples.map((score) => (score === null ? "unparsed" : short(score))).join(", ");
      const said = judgement.rationale ? `“${judgement.rationale}” ` : "";
      return [row, line("p", "mute small judge-said", `${said}${judgement.judge}${samples ? ` · samples ${samples}` : ""}`)];
    }),
  );
  if (judge.chosen !== null)
    item.items.forEach((response, side) => {
      $(`mark-${side}`).textContent = response.id === judge.chosen ? CHOSEN_BY[judge.chosen_by] : "";
    });
  $("judge-title").textContent = item.blind ? "The judge, shown after your answer" : "The judge";
  $("judge-rows").replaceChildren(...rows);
  $("judge").hidden = !rows.length;
}

/** What the answer would change. */
export function showPreview(preview) {
  $("change-none").hidden = true;
  $("change-text").hidden = false;
  $("change-text").dataset.kind = preview.kind;
  $("change-sentence").textContent = preview.sentence;
  $("change-note").textContent = preview.note;
}
