"""What people decide is what is trained: a queue made by the form, forty decisions by keyboard, a training."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Site, ready

pytestmark = pytest.mark.e2e

CONFIG = """
name: Forty decisions
paradigm: teacher_demonstration
iterations: 1
seed: 7
student: {{model: {student}, max_length: 2304}}
teacher: {{kind: oracle}}
sft: {{datasets: [seed rows], batch_size: 20, micro_batch_size: 20}}
prompts: {{dataset: training prompts, count: 60}}
candidates: {{n: 1, max_new_tokens: 8, temperature: 1.0}}
judging: {{k: 1, max_new_tokens: 4}}
training: {{batch_size: 16, micro_batch_size: 16, learning_rate: 1.0e-3}}
review: {{enabled: true}}
evaluation: {{dataset: held-out prompts, count: 2, max_new_tokens: 4, self_judge_prompts: 1}}
"""


def test_forty_decisions_by_keyboard_are_what_a_worker_trains_on_and_the_checkpoint_names(
    page: Page, data: Site
) -> None:
    config = data.home / "forty.yaml"
    config.write_text(CONFIG.format(student=data.student), encoding="utf-8")
    data.manage("launch", str(config))
    page.goto(f"{data.url}/runs/")
    page.get_by_role("link", name="Forty decisions").first.click()
    expect(page.locator("#state")).to_contain_text(re.compile("wait.*(review|people)", re.IGNORECASE), timeout=60_000)
    run = page.url

    page.goto(f"{data.url}/review/new/")
    source = page.locator("#source option", has_text="Forty decisions").first.get_attribute("value")
    page.select_option("#source", source)
    page.get_by_label("Name", exact=True).fill("Forty")
    page.locator("[name=blind]").uncheck()
    expect(page.locator("#gate_count")).to_be_hidden()
    page.select_option("#gate", "count")
    page.locator("#gate_count").fill("40")
    page.get_by_role("button", name="Create the queue").click()
    expect(page.get_by_text("The run trains at 40 reviewed items.")).to_be_visible()

    page.get_by_role("link", name="Work").click()
    task = ready(page)
    promised = ""
    for decision in ["f"] * 15 + ["Enter"] * 20 + ["t"] * 5:
        if decision != "Enter":
            page.keyboard.press(decision)
            expect(page.locator("#change-text")).to_be_visible()
            promised = page.locator("#change-note").inner_text()
        page.keyboard.press("Enter")
        task = ready(page, not_task=task)
    assert "55 pairs (−1), 15 changed by people so far" in promised

    page.goto(run)
    expect(page.locator("#state")).to_contain_text("Finished", timeout=120_000)
    page.goto(f"{data.url}/checkpoints/")
    page.get_by_role("link", name=re.compile("^M2")).first.click()
    expect(page.get_by_role("heading", name="40 decisions by 1 person")).to_be_visible()
    page.get_by_text("Decisions and their pairs").click()
    lines = page.locator(".decisions li")
    expect(lines).to_have_count(40)
    expect(lines.filter(has_text="admin flipped")).to_have_count(15)
    expect(lines.filter(has_text="not in the set")).to_have_count(5)
    lines.filter(has_text="admin flipped").first.get_by_role("link").click()
    expect(page.get_by_text("55 preference pairs")).to_be_visible()
    expect(page.locator("article:target")).to_contain_text("Overridden")
