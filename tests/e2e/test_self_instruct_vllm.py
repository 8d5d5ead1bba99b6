"""Prompts that the student writes, its responses and its judgements, all through the real vLLM, from the browser.

The miniature has never seen an instruction to write tasks, so its fine-tuning gets rows of that frame: the instruction
of 000 figure 2 and a list of six questions of its world. The frame with demonstrations takes more than its context.
Slow: builds the miniature, unless PLUMBLINE_MINIATURE_HOME names a data folder that holds the one of seed 1.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Site, log_in, new_context, watch
from tests.support.paths import ROOT
from training.domain.templates import SINGLE_INSTRUCTION_TEXT
from training.miniature.world import families

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make install-vllm"),
]

NAME = "Own prompts through vLLM"
LISTS, QUESTIONS_EACH = 400, 6
CONFIG = """
name: {name}
paradigm: self_reward
iterations: 1
seed: 1
student: {{model: {student}, dtype: float32, max_length: 256}}
engine: {{kind: vllm}}
teacher: {{kind: oracle}}
sft:
  datasets: [ift, eft, replay, task lists]
  learning_rate: 1.5e-3
  final_learning_rate: 1.0e-4
  warmup_ratio: 0.05
prompts: {{source: self_instruct, template: single_instruction, dataset: seed tasks, count: 32, temperature: 1.0}}
candidates: {{n: 32, max_new_tokens: 90}}
judging: {{k: 3, max_new_tokens: 32}}
training: {{learning_rate: 7.0e-5, final_learning_rate: 7.0e-6, batch_size: 8, micro_batch_size: 8, epochs: 2}}
evaluation: {{dataset: held out, count: 40, temperature: 0.7, top_p: 0.9, max_new_tokens: 24, self_judge_prompts: 10}}
"""


@pytest.fixture(scope="session")
def student(site: Site) -> Path:
    """The miniature's M0, with its files imported as data sets, and two more: seed tasks, and lists of tasks."""
    home = Path(os.environ.get("PLUMBLINE_MINIATURE_HOME") or site.home)
    made = subprocess.run(
        [sys.executable, "-m", "training.miniature", str(home), "--seed", "1"],
        cwd=ROOT, env=site.environment, capture_output=True, text=True, check=True, timeout=900,
    )  # fmt: skip
    folder = Path(json.loads(made.stdout.splitlines()[-1])["directory"])
    for name in ("ift", "eft", "replay"):
        site.manage("import_data", str(folder / f"{name}.jsonl"), "--name", name)
    site.manage("import_data", str(folder / "prompts_test.jsonl"), "--name", "held out", "--source", "evaluation")
    draw = random.Random(1)
    # One a family: everything that differs from them in the subject alone falls to the filter by ROUGE-L.
    seeds = [{"prompt": family.train[0].format(subject=draw.choice(sorted(family.facts)))} for family in families()]
    site.manage("import_data", _write(site.home / "seeds.jsonl", seeds), "--name", "seed tasks")
    asked = [json.loads(line)["prompt"] for line in (folder / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    lists = [
        "\n".join(f"{number}. {text}" for number, text in enumerate(draw.sample(asked, QUESTIONS_EACH), start=1))
        for _ in range(LISTS)
    ]
    rows = [{"prompt": SINGLE_INSTRUCTION_TEXT, "response": text} for text in lists]
    site.manage("import_data", _write(site.home / "lists.jsonl", rows), "--name", "task lists")
    return folder / "m0"


def _write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_from_prompts_of_its_own_to_pairs_and_a_next_model_through_vllm(
    page: Page, site: Site, student: Path, browser: Browser, complaints: list[str], tmp_path: Path
) -> None:
    page.goto(f"{site.url}/runs/new/")
    page.get_by_label("YAML").fill(CONFIG.format(name=NAME, student=student))
    page.get_by_role("button", name="Fill the form").click()
    expect(page.locator("[name='engine.kind']")).to_have_value("vllm")
    page.get_by_role("button", name="Launch").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/$"))
    context = new_context(browser, width=390, theme="dark")
    phone = context.new_page()
    watch(phone, complaints)
    log_in(phone, site)
    phone.goto(page.url)

    # What a stage that generates tells at this moment; the judgements take longest, some seconds here.
    told = re.compile(r"\d\sto\sgo, [\d,]+\sin\sflight, [\d,]+\stokens/s")
    for shown in (phone, page):
        traffic = shown.locator(".line[data-iteration='1'] [data-traffic]")
        traffic.filter(has_text=told).first.wait_for(timeout=900_000)
    for shown, name in ((phone, "loop-390-dark.png"), (page, "loop-1440-light.png")):
        shown.locator("#loop").screenshot(path=tmp_path / name)
    expect(page.locator("#state")).to_contain_text("Finished", timeout=900_000)
    context.close()

    track = page.locator(".line[data-iteration='1'] .stage")
    prompts, pairs = (track.filter(has_text=name).locator("[data-count]") for name in ("Prompts", "Pairs"))
    assert int(prompts.inner_text()) >= 12
    assert int(pairs.inner_text()) >= 4
    track.filter(has_text="Prompts").get_by_role("link").click()
    page.get_by_text("candidates removed").click()
    expect(page.get_by_text("ROUGE-L of 0.7 or more with a known prompt").first).to_be_visible()
    page.screenshot(path=tmp_path / "prompts.png", full_page=True)
