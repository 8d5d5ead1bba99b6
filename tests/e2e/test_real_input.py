"""A foreign checkpoint and real data, from the browser: fine-tuning, pairs by two judges' scores, DPO, answers.

Slow: three runs of a 2.4 M-parameter model. Skipped where the real data or the checkpoint is not there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Site

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = """
name: {name}
paradigm: {paradigm}
iterations: 1
seed: 1
student: {{model: {student}, max_length: 2048, dtype: float32}}
sft: {{datasets: [alpaca], learning_rate: 5.0e-4, final_learning_rate: 5.0e-5, batch_size: 16, micro_batch_size: 16}}
prompts: {{dataset: seed tasks, count: {prompts}}}
candidates: {{{candidates}}}
judging: {{{judging}}}
training: {{learning_rate: 5.0e-5, final_learning_rate: 5.0e-6, batch_size: 8, micro_batch_size: 4}}
evaluation: {{dataset: seed tasks, count: 175, max_new_tokens: 64, temperature: 0.7, top_p: 0.9, self_judge: false}}
"""
RECORDED = {"prompts": 200, "candidates": "from_dataset: scored responses"}


@pytest.fixture(scope="session")
def real(site: Site, real_data: Path, models_folder: Path) -> Site:
    """The real files, imported by the command."""
    site.manage("import_data", str(real_data / "self_instruct_seeds.jsonl"), "--name", "seed tasks")
    site.manage("import_data", str(real_data / "alpaca_ift_3200.jsonl"), "--name", "alpaca")
    judges = ("--judge", "self=M1", "--judge", "teacher=gemini", "--judge", "reference=gpt")
    site.manage("import_data", str(real_data / "eft_scores_200.jsonl"), "--name", "scored responses", *judges)
    assert (models_folder / "tiny-lm" / "config.json").is_file()
    return site


def run(page: Page, site: Site, config: str, until: str) -> str:
    """Launch a pasted config through the form and wait for a state; the run's address."""
    page.goto(f"{site.url}/runs/new/")
    page.get_by_label("YAML").fill(config)
    page.get_by_role("button", name="Fill the form").click()
    page.get_by_role("button", name="Launch").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/$"))
    expect(page.locator("#state")).to_contain_text(until, timeout=1_200_000)
    return page.url


def test_real_data_and_a_foreign_checkpoint_make_two_models_to_compare(
    page: Page, real: Site, models_folder: Path
) -> None:
    student = models_folder / "tiny-lm"
    for source, paradigm in (("self", "self_reward"), ("teacher", "teacher_reward")):
        config = CONFIG.format(
            name=f"tiny-lm by the {source}'s scores",
            paradigm=paradigm,
            student=student,
            judging=f"recorded_scores: {source}",
            **RECORDED,
        )
        run(page, real, config, "Finished")
    page.goto(f"{real.url}/compare/")
    for box in page.get_by_label("M2", exact=True).all():
        box.check()
    page.get_by_label("M1", exact=True).first.check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Answers side by side").first).to_be_visible()
    expect(page.locator("article.same-prompt").first).to_be_visible()
    expect(page.get_by_text("judging.recorded_scores")).to_be_visible()


def test_a_student_too_small_to_judge_is_said_in_words_and_the_run_stops_there(
    page: Page, real: Site, models_folder: Path
) -> None:
    config = CONFIG.format(
        name="tiny-lm judges itself",
        paradigm="self_reward",
        student=models_folder / "tiny-lm",
        prompts=24,
        candidates="n: 2, max_new_tokens: 32",
        judging="k: 3, max_new_tokens: 48",
    ).replace("sft: {datasets", "sft: {enabled: false, datasets")
    run(page, real, config, "Paused")
    expect(page.get_by_text("This judge does not follow the judge prompt").first).to_be_visible()
    pairs = page.locator(".line[data-iteration='1'] .stage", has_text="Pairs")
    expect(pairs).to_have_attribute("data-status", "pending")
