"""Gemini as a teacher through everything that ``manage.py up`` starts: a tenth of its answers fail, the rows are equal.

The server that the worker's SDK asks is in this process, once without a fault and once failing in each of its ways.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Site, log_in, new_context, watch
from tests.support.paid_teacher import Teacher
from tests.support.providers import GEMINI_TROUBLES

pytestmark = pytest.mark.e2e

PROMPTS = 180
CONFIG = """
name: {name}
paradigm: {paradigm}
iterations: 1
seed: 3
student: {{model: {student}, max_length: 2048}}
teacher:
  kind: gemini
  model: gemini-x
  base_url: {address}
  key: {key}
  concurrency: 16
  timeout: 2
  budget_tokens: 10000000
  prompt_price: 1.0
  completion_price: 10.0
sft: {{enabled: false}}
prompts: {{dataset: gemini prompts, count: {count}}}
engine: {{batch_size: {batch}}}
candidates: {{n: {n}, max_new_tokens: 128, temperature: 1.0}}
judging: {{k: 4, max_new_tokens: 40}}
training: {{batch_size: 8, micro_batch_size: 8, learning_rate: 1.0e-3, max_pairs: 8}}
evaluation: {{enabled: false}}
"""
#: What each row says, without record ids.
ROWS = {
    "responses": """select p.text, r.purpose, r.source, r."index", r.text, r.seed, r.token_count
        from alignment_app_response r join alignment_app_prompt p on p.id = r.prompt_id
        join alignment_app_iteration i on i.id = r.iteration_id where i.run_id = ? order by 1, 2, 3, 4""",
    "judgements": """select p.text, r."index", j.samples, j.score, j.spread, j.rationale
        from alignment_app_judgement j join alignment_app_response r on r.id = j.response_id
        join alignment_app_prompt p on p.id = r.prompt_id
        join alignment_app_iteration i on i.id = j.iteration_id where i.run_id = ? order by 1, 2""",
    "pairs": """select p.text, c.text, x.text, q.chosen_score, q.rejected_score
        from alignment_app_preferencepair q join alignment_app_prompt p on p.id = q.prompt_id
        join alignment_app_response c on c.id = q.chosen_id join alignment_app_response x on x.id = q.rejected_id
        join alignment_app_iteration i on i.id = q.iteration_id where i.run_id = ? order by 1""",
    "frozen": """select s.content_hash from alignment_app_datasetsnapshot s
        join alignment_app_iteration i on i.id = s.iteration_id where i.run_id = ? and i.number = 1""",
}
ASKED = """select s.kind, count(*) from alignment_app_teachercall c
    join alignment_app_stageattempt a on a.id = c.attempt_id join alignment_app_stage s on s.id = a.stage_id
    where c.run_id = ? and c.outcome = 'answered' group by 1"""


@pytest.fixture(scope="module")
def teachers(browser: Browser, site: Site) -> Iterator[dict[str, Teacher]]:
    """A calm server and a troubled one, each with a key that an admin stored by the page, and prompts to answer."""
    questions = site.home / "gemini-prompts.jsonl"
    questions.write_text("".join(json.dumps({"prompt": f"Count to {number}."}) + "\n" for number in range(PROMPTS)))
    site.manage("import_data", str(questions), "--name", "gemini prompts")
    made = {"calm": Teacher(), "troubled": Teacher()}
    made["troubled"].troubled = True
    context = new_context(browser)
    page = context.new_page()
    log_in(page, site)
    for name, teacher in made.items():
        page.goto(f"{site.url}/keys/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Provider").select_option("gemini")
        page.get_by_label("Server address").fill(teacher.server.address)
        page.get_by_label("Key", exact=True).fill("planted-key-5f1c9b7e")
        page.get_by_role("button", name="Store").click()
        expect(page.locator("#keys")).to_contain_text(teacher.server.address)
    context.close()
    yield made
    for teacher in made.values():
        teacher.server.close()


def launch(page: Page, site: Site, **asked: Any) -> int:
    page.goto(f"{site.url}/runs/new/")
    page.get_by_label("YAML").fill(CONFIG.format(student=site.student, **asked))
    page.get_by_role("button", name="Fill the form").click()
    page.get_by_role("button", name="Launch").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/$"))
    return int(page.url.rstrip("/").rsplit("/", 1)[1])


def rows_of(site: Site, run: int) -> dict[str, Any]:
    """Every row as what it says, and under "asked" how many answers came in which stage."""
    with sqlite3.connect(f"file:{site.home / 'plumbline.sqlite3'}?mode=ro", uri=True) as record:
        found: dict[str, Any] = {name: record.execute(query, [run]).fetchall() for name, query in ROWS.items()}
        return found | {"asked": dict(record.execute(ASKED, [run]).fetchall())}


@pytest.mark.parametrize(
    ("paradigm", "stage", "shape", "answers"),
    [
        ("teacher_reward", "Judgements", {"count": 12, "n": 4, "batch": 4}, 12 * 4 * 4),
        ("teacher_demonstration", "Demonstrations", {"count": PROMPTS, "n": 1, "batch": 16}, PROMPTS),
    ],
)
def test_a_teacher_that_fails_in_every_way_makes_the_rows_of_one_that_never_does(
    page: Page,
    site: Site,
    teachers: dict[str, Teacher],
    browser: Browser,
    complaints: list[str],
    tmp_path: Path,
    paradigm: str,
    stage: str,
    shape: dict[str, int],
    answers: int,
) -> None:
    teachers["troubled"].failing.clear()
    runs = {
        name: launch(
            page, site, name=f"{name} {paradigm}", paradigm=paradigm, address=one.server.address, key=name, **shape
        )
        for name, one in teachers.items()
    }
    context = new_context(browser, width=390, theme="dark")
    phone = context.new_page()
    watch(phone, complaints)
    log_in(phone, site)
    phone.goto(page.url)
    # The teacher is at work before its turn, while the student writes.
    at_work = page.locator(".line[data-iteration='1'] .stage", has_text=stage)
    expect(at_work.locator("[data-note]")).to_contain_text("in parallel", timeout=60_000)
    page.screenshot(path=tmp_path / "during-1440.png", full_page=True)
    phone.screenshot(path=tmp_path / "during-390.png", full_page=True)
    for name, run in runs.items():
        page.goto(f"{site.url}/runs/{run}/")
        expect(page.locator("#state")).to_contain_text("Finished", timeout=90_000)
        costs = page.locator("#costs")
        expect(costs).to_contain_text(" of 10,000,000 tokens")
        expect(costs).to_contain_text("USD")
        expect(costs.get_by_text("not charged")).to_have_count(int(name == "troubled"))
        expect(costs.get_by_text("without a reply")).to_have_count(int(name == "troubled"))
        expect(costs.get_by_text("empty or blocked")).to_have_count(int(name == "troubled"))
        page.screenshot(path=tmp_path / f"{name}-1440.png", full_page=True)
    expect(phone.locator("#state")).to_contain_text("Finished")
    phone.screenshot(path=tmp_path / "after-390.png", full_page=True)
    context.close()

    assert not teachers["calm"].failing
    assert len(teachers["troubled"].failing) >= len(GEMINI_TROUBLES)  # each way at least once
    calm, troubled = (rows_of(site, run) for run in runs.values())
    assert sum(calm["asked"].values()) == answers
    assert calm.pop("asked")["responses"] > 0
    assert troubled.pop("asked")["responses"] > 0
    assert calm["pairs"]
    assert troubled == calm
