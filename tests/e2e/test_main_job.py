"""The main job as a user does it: launch, watch, look at samples, cancel, resume, compare, chat."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Site, log_in, new_context, watch

pytestmark = pytest.mark.e2e

CONFIG = """
name: {name}
paradigm: teacher_demonstration
iterations: 1
seed: 5
student: {{model: {student}, max_length: 2304}}
teacher: {{kind: oracle}}
sft: {{datasets: [seed rows], batch_size: 8, micro_batch_size: 8, learning_rate: 1.0e-3, final_learning_rate: 1.0e-4}}
prompts: {{dataset: training prompts, count: 64}}
engine: {{batch_size: 8}}
candidates: {{n: 4, max_new_tokens: 160, temperature: 1.0}}
judging: {{k: 1, max_new_tokens: 8}}
training: {{batch_size: 8, micro_batch_size: 8, learning_rate: 1.0e-3, final_learning_rate: 1.0e-4}}
evaluation: {{dataset: held-out prompts, count: 8, max_new_tokens: 16, self_judge_prompts: 2}}
"""


def launch(page: Page, site: Site, name: str) -> None:
    """From the list of runs, through the recipe page and the form, to the run's page."""
    page.goto(site.url)
    page.get_by_role("link", name="New run").first.click()
    page.get_by_label("YAML").fill(CONFIG.format(name=name, student=site.student))
    page.get_by_role("button", name="Fill the form").click()
    expect(page.locator("[name=name]")).to_have_value(name)
    page.get_by_role("button", name="Launch").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+/$"))
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_launch_watch_cancel_resume_compare_and_chat(page: Page, data: Site) -> None:
    launch(page, data, "A browser's run")
    responses = page.locator(".line[data-iteration='1'] .stage", has_text="Responses")
    expect(responses.locator("[data-count]")).to_contain_text(re.compile(r"of 256"), timeout=120_000)

    # A bar moves without anybody touching the page.
    seen = responses.locator("[data-count]").inner_text()
    expect(responses.locator("[data-count]")).not_to_have_text(seen, timeout=30_000)

    page.get_by_text("Cancel", exact=False).first.click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#state")).to_contain_text("Cancelled", timeout=60_000)
    page.wait_for_timeout(2000)  # the last count comes with the events just before the end
    kept = int(responses.locator("[data-count]").inner_text().split()[0])
    assert 0 < kept < 256

    # A reload draws the same page from the record.
    page.reload()
    expect(page.locator("#state")).to_contain_text("Cancelled")
    assert int(responses.locator("[data-count]").inner_text().split()[0]) == kept

    page.get_by_role("button", name=re.compile("^Resume")).first.click()
    expect(page.locator("#state")).to_contain_text("Finished", timeout=240_000)
    expect(responses.locator("[data-count]")).to_have_text("256")

    # The curves came while nobody touched the page; the checkpoint's page draws the same from the record.
    margin = page.get_by_role("img", name=re.compile("^Reward margin.* of M2 by training step"))
    expect(margin).to_be_visible()
    run_address = page.url
    page.goto(f"{data.url}/checkpoints/")
    page.get_by_role("link", name=re.compile("^M2")).first.click()
    expect(margin).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of all steps").click()
    assert "kl,grad_norm" in Path(download.value.path()).read_text(encoding="utf-8").splitlines()[0]
    page.goto(run_address)

    page.get_by_role("link", name="Pairs").first.click()
    expect(page.get_by_text("The teacher's response against the student's.").first).to_be_visible()

    page.goto(f"{data.url}/compare/")
    ours = page.get_by_role("group", name="A browser's run")
    for name in ("M1", "M2"):
        ours.get_by_label(name, exact=True).check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Answers side by side")).to_be_visible()
    expect(page.locator("article.same-prompt")).to_have_count(8)

    page.goto(f"{data.url}/chat/")
    page.get_by_label("Checkpoint", exact=True).select_option(index=1)
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Max tokens").fill("12")
    page.get_by_label("Message").fill("What is one plus one?")
    page.keyboard.press("Enter")
    expect(page.locator("#turns")).to_contain_text("What is one plus one?")
    expect(page.locator("#turns .reply .text").first).not_to_be_empty(timeout=60_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_is_wider_than_its_window(
    browser: Browser, data: Site, complaints: list[str], width: int, theme: str
) -> None:
    context = new_context(browser, width=width, theme=theme)
    page = context.new_page()
    watch(page, complaints)
    log_in(page, data)
    for path in ("/runs/", "/runs/new/", "/runs/1/", "/checkpoints/", "/compare/", "/chat/", "/data/", "/system/"):
        answer = page.goto(data.url + path)
        assert answer is not None
        assert answer.status == 200, path
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, f"{path} is {wider} pixels wider than {width}"
    context.close()
    assert not complaints, "\n".join(complaints)
