"""Train with four losses on real preference pairs through the browser: curves, accuracy, margin, correlations.

    python -m tests.benchmarks.real_run [--pairs 512] [--rows 3200] [--home FOLDER] [--screenshots FOLDER]

Starts Plumbline on an empty data folder, imports the files of ``../shared/data``, and launches runs through the form:
one that fine-tunes a small pretrained model on instructions, then one each with dpo, ipo, sr_dpo and sr_ipo that trains
the result on the same HH-RLHF pairs, with the same 100 held out. HH-RLHF pairs have no scores, so the correlation of
margins with scores is measured on other pairs that are never trained on: best against worst response per prompt of
``eft_scores_200.jsonl`` if GPT-4 scored them differently. Needs Chromium. ``--home`` keeps the data folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.browser import Site, chromium, find_browser, log_in, new_context, plumbline
from tests.support.paths import ROOT

DATA = Path(os.environ.get("PLUMBLINE_TEST_DATA") or ROOT / ".." / "shared" / "data").resolve()
MODEL = Path(os.environ.get("PLUMBLINE_TEST_MODELS") or ROOT / ".." / "shared" / "models").resolve() / "tiny-lm"
HELD_OUT = 100
LOSSES = ("dpo", "ipo", "sr_dpo", "sr_ipo")
FINE_TUNING = """
name: tiny-lm on instructions
paradigm: self_reward
iterations: 0
seed: 1
student: {{model: {model}, max_length: 512, dtype: float32}}
sft: {{datasets: [alpaca], limit: {rows}, learning_rate: 5.0e-4, final_learning_rate: 5.0e-5, batch_size: 16}}
evaluation: {{enabled: false}}
"""
PREFERENCES = """
name: {loss} on HH-RLHF
paradigm: self_reward
iterations: 1
seed: 1
student: {{model: {model}, max_length: 512, dtype: float32}}
sft: {{enabled: false}}
prompts: {{count: {asked}}}
pairs: {{from_dataset: hh-rlhf}}
training:
  loss: {loss}
  beta: 0.1
  lam: 0.3
  held_out_pairs: 100
  learning_rate: 3.0e-5
  final_learning_rate: 3.0e-6
  batch_size: 8
evaluation: {{dataset: alpaca, pairs: scored pairs, count: 200, max_new_tokens: 1, self_judge: false}}
"""


def main() -> None:
    options = parse()
    browser_path = find_browser()
    if not browser_path:
        raise SystemExit("No Chromium here: install one, or set PLUMBLINE_CHROMIUM to its path.")
    home = Path(options.home or tempfile.mkdtemp(prefix="plumbline-real-"))
    home.mkdir(parents=True, exist_ok=True)
    try:
        with plumbline(home) as site, chromium(browser_path) as browser:
            import_files(site, options)
            page = new_context(browser).new_page()
            log_in(page, site)
            for loss, row in rows(page, site, options):
                print(loss, json.dumps(row["metrics"]), flush=True)
                options.table.append((loss, row))
            print(table(options.table))
            compare(page, site, options)
    finally:
        if not options.home:
            shutil.rmtree(home, ignore_errors=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=512, help="number of HH-RLHF training pairs")
    parser.add_argument("--rows", type=int, default=3200, help="number of fine-tuning rows")
    parser.add_argument(
        "--longest", type=int, default=800, help="maximum characters of prompt and longer response together"
    )
    parser.add_argument("--home", help="an empty data folder to keep")
    parser.add_argument("--screenshots", type=Path, help="folder for screenshots")
    options = parser.parse_args()
    options.table = []
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    return options


def import_files(site: Site, options: argparse.Namespace) -> None:
    """Import instructions, preference pairs, and pairs with scores."""
    short = [pair for pair in read("hh_rlhf_train.jsonl") if length(pair) <= options.longest]
    write(site.home / "hh.jsonl", short)
    write(site.home / "scored.jsonl", scored_pairs())
    site.manage("import_data", str(DATA / "alpaca_ift_3200.jsonl"), "--name", "alpaca")
    site.manage("import_data", str(site.home / "hh.jsonl"), "--name", "hh-rlhf")
    site.manage("import_data", str(site.home / "scored.jsonl"), "--name", "scored pairs")
    print(f"{len(short)} HH-RLHF pairs of at most {options.longest} characters, {len(scored_pairs())} scored pairs")


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def length(pair: dict[str, Any]) -> int:
    return len(pair["prompt"]) + max(len(pair["chosen"]), len(pair["rejected"]))


def scored_pairs() -> list[dict[str, Any]]:
    """Return pairs of the best and the worst response by GPT-4's score, if the scores differ."""
    found = []
    for row in read("eft_scores_200.jsonl"):
        scores = [(answer["scores"]["gpt"], answer["text"]) for answer in row["responses"]]
        scored = [(score, text) for score, text in scores if score is not None and score >= 0]
        best, worst = max(scored, key=lambda one: one[0]), min(scored, key=lambda one: one[0])
        if best[0] > worst[0]:
            found.append(
                {
                    "prompt": row["prompt"],
                    "chosen": best[1],
                    "rejected": worst[1],
                    "chosen_score": best[0],
                    "rejected_score": worst[0],
                }
            )
    return found


def rows(page: Page, site: Site, options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Launch all runs. Returns each loss with its checkpoint from the API."""
    base = run(page, site, FINE_TUNING.format(model=MODEL, rows=options.rows))
    picture(page, options, "sft")
    student = site.home / "runs" / base / "M1" / "model"
    for loss in LOSSES:
        number = run(page, site, PREFERENCES.format(loss=loss, model=student, asked=options.pairs + HELD_OUT))
        expect(page.locator("#charts canvas").first).to_be_visible()
        picture(page, options, loss)
        answer = page.request.get(f"{site.url}/api/v1/checkpoints/?run={number}&number=2")
        assert answer.ok, answer.text()
        yield loss, answer.json()["results"][0]


def run(page: Page, site: Site, config: str) -> str:
    """Launch a pasted config through the form and wait for its end. Returns the run's number."""
    began = time.monotonic()
    page.goto(f"{site.url}/runs/new/")
    page.get_by_label("YAML").fill(config)
    page.get_by_role("button", name="Fill the form").click()
    page.get_by_role("button", name="Launch").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/$"))
    expect(page.locator("#state")).to_contain_text(re.compile("Finished|Failed|Crashed"), timeout=7_200_000)
    expect(page.locator("#state")).to_contain_text("Finished")
    print(f"{page.url}: {time.monotonic() - began:.0f} s", flush=True)
    return page.url.rstrip("/").rsplit("/", 1)[1]


def picture(page: Page, options: argparse.Namespace, name: str) -> None:
    if options.screenshots:
        page.screenshot(path=options.screenshots / f"{name}.png", full_page=True)


def compare(page: Page, site: Site, options: argparse.Namespace) -> None:
    """Open the four runs on the page Compare."""
    numbers = "&".join(f"checkpoint={row['id']}" for _, row in options.table)
    page.goto(f"{site.url}/compare/?{numbers}")
    expect(page.get_by_role("heading", name="Metrics")).to_be_visible()
    picture(page, options, "compare")


def table(found: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the figures of tables 4 and 5 and section 4.1 of Yu et al. (2024) as Markdown."""
    columns = (
        "loss, accuracy trained, margin trained, on p⊕x, accuracy held out, margin held out, on p⊕x, "
        "accuracy scored, margin scored, Pearson (95 %), Spearman, Kendall, training"
    ).split(", ")
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for loss, row in found:
        trained, held_out, scored = (row["metrics"]["margins"][part] for part in ("training", "held_out", "evaluation"))
        lines.append(
            f"| `{loss}` | {trained['accuracy']:.1%} | {trained['margin']:.2f} | {trained['augmented_accuracy']:.1%} | "
            f"{held_out['accuracy']:.1%} | {held_out['margin']:.2f} | {held_out['augmented_accuracy']:.1%} | "
            f"{scored['accuracy']:.1%} | {scored['margin']:.2f} | {scored['pearson']:.2f} "
            f"({scored['pearson_low']:.2f} to {scored['pearson_high']:.2f}) | {scored['spearman']:.2f} | "
            f"{scored['kendall']:.2f} | {row['train_seconds']:.0f} s |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
