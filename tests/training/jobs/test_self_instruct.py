"""Interrupted self-instruct gives the same prompts and the same rejected drafts as an undisturbed run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment_app.models import Dataset, Run
from alignment_app.services import progress, runs
from alignment_app.services.imports import import_rows
from tests.support.providers import Provider, text_of
from tests.support.runs import drive, drive_until_killed, kill_9
from tests.support.writer import COLD, SEEDS, serve_writer
from training.config import RunConfig
from training.domain.self_instruct import MAX_WORDS, PromptFilter

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 60
LITTLE = 0.03  # seconds


@pytest.fixture
def writer() -> Iterator[Provider]:
    """An OpenAI-compatible server that writes tasks, answers and scores."""
    server = serve_writer(LITTLE / 2)
    yield server
    server.close()


@pytest.fixture
def start(little_student: Path, writer: Provider, db: None) -> Callable[..., Run]:
    """Launch a run that writes its own prompts and stops at the review of pairs."""
    import_rows("seed tasks", "prompts", [{"prompt": text} for text in SEEDS])

    config: dict[str, Any] = {
        "name": "new prompts",
        "paradigm": "self_reward",
        "iterations": 1,
        "seed": 4,
        "student": {"model": str(little_student), "max_length": 2048},
        "engine": {"kind": "openai_compatible", "base_url": f"{writer.address}/v1"},
        "sft": {"enabled": False},
        "prompts": {"source": "self_instruct", "dataset": "seed tasks", "count": COUNT},
        "candidates": {"n": 2, "max_new_tokens": 8},
        "judging": {"k": 1, "max_new_tokens": 8},
        "review": {"enabled": True},
        "evaluation": {"enabled": False},
    }

    def go(**prompts: Any) -> Run:
        return runs.launch(RunConfig.parse(config | {"prompts": config["prompts"] | prompts}))

    return go


def rows_of(run: Run) -> dict[str, Any]:
    """Return the rows of self-instruct and the resulting pairs, without database ids."""
    iteration = run.iterations.get(number=1)
    uses = iteration.iteration_prompts.select_related("prompt").order_by("position")
    return {
        "kept": [(use.position, use.prompt.position, use.prompt.text, use.prompt.meta) for use in uses],
        "removed": list(
            iteration.rejected_prompts.order_by("round", "place").values_list(
                "round", "place", "text", "reason", "detail", "rouge_l"
            )
        ),
        "counts": iteration.stages.get(kind="prompts").result["removed"],
        "pairs": sorted(iteration.pairs.values_list("prompt__text", "chosen__text", "rejected__text")),
    }


def stop_at(way: str, kept: int) -> Callable[[progress.Progress], None]:
    """Return a hook that ends the work in the given way once ``kept`` prompts are saved."""

    def hook(self: progress.Progress) -> None:
        if self.attempt.stage.kind == "prompts" and self.done >= kept:
            if way == "kill":
                kill_9()
            self.heartbeat.command = "pause"

    return hook


@pytest.mark.parametrize("way", ["pause", "kill"])
def test_interrupted_self_instruct_gives_the_prompts_and_rejections_of_an_undisturbed_one(
    start: Callable[[], Run], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    quiet = rows_of(drive(start()))
    assert len(quiet["kept"]) == COUNT
    rounds = {meta["round"] for *_, meta in quiet["kept"]}
    assert len(rounds) > 2
    assert Counter(reason for *_, reason, _, _ in quiet["removed"]) == quiet["counts"]
    assert len(quiet["counts"]) >= 5

    run = start()
    # First in the middle of a round, with one prompt per save; then after the rest of the round was saved at once: a
    # round takes longer than LITTLE to be answered, and less to be read.
    for number, (pause, kept) in enumerate([(0.0, COUNT // 2), (LITTLE, COUNT // 2 + 1)], 1):
        with monkeypatch.context() as disturbed:
            disturbed.setattr(progress, "SAVE_SECONDS", pause)
            disturbed.setattr(progress.Progress, "after_save", stop_at(way, kept))
            if way == "kill":
                drive_until_killed(run)
                assert run.status == Run.Status.QUEUED
            else:
                drive(run)
                assert run.status == Run.Status.PAUSED, run.status_reason
        here = run.iterations.get(number=1)
        assert kept <= here.iteration_prompts.count() < COUNT
        assert here.stages.get(kind="prompts").attempts.count() == number
        if way == "pause":
            runs.resume(run)
    drive(run)
    assert rows_of(run) == quiet


def test_a_writer_without_new_prompts_is_logged_and_its_prompts_are_used(start: Callable[..., Run]) -> None:
    run = drive(start(temperature=COLD / 2))
    assert run.iterations.get(number=1).iteration_prompts.count() == 1
    said = [event.payload["text"] for event in run.events.filter(kind="log", payload__level="warning")]
    assert any(f"wrote 1 prompts, fewer than the {COUNT} asked for" in text for text in said), said


def test_the_175_seed_tasks_of_self_instruct_are_imported_in_the_browser_and_shown_to_the_writer(
    real_data: Path, start: Callable[[], Run], writer: Provider, client: Client
) -> None:
    client.force_login(User.objects.create_superuser("ann"))
    Dataset.objects.filter(name="seed tasks").delete()
    with (real_data / "self_instruct_seeds.jsonl").open("rb") as file:
        address = client.post(reverse("data-import"), {"file": file}).headers["Location"]
    page = client.get(address).content.decode()
    assert "175 valid rows" in page
    assert 'value="instruction"' in page
    assert 'value="instances.0.input"' in page
    assert "Night : Day :: Right : Left" in page
    assert '<option value="seed" selected>' in page
    client.post(address, {"name": "seed tasks", "kind": "prompts", "source": "seed", "import": "1"})
    seeds = Dataset.objects.get(name="seed tasks")
    assert set(seeds.prompts.values_list("source", flat=True)) == {"seed"}
    known = {" ".join(text.split()) for text in seeds.prompts.values_list("text", flat=True)}
    assert len(known) == 175

    run = drive(start())
    here = run.iterations.get(number=1)
    written = set(here.iteration_prompts.values_list("prompt__text", flat=True))
    assert len(written) == COUNT
    shown = [
        re.split(r"\n\d+\. ", text_of(body).removesuffix("\n9."))[1:]
        for body in writer.bodies
        if "numbered list of tasks" in text_of(body)
    ]
    assert {len(demonstrations) for demonstrations in shown} == {8}
    everything = {demonstration for demonstrations in shown for demonstration in demonstrations}
    assert everything <= known | written
    assert len(everything & known) > 100
    assert max(len(text.split()) for text in everything) <= MAX_WORDS < max(len(text.split()) for text in known)
    said = [event.payload["text"] for event in run.events.filter(kind="log")]
    assert any("5 of the 175 seed tasks have more than 150 words" in text for text in said)
    samples = client.get(reverse("run-samples", args=[run.pk]) + "?iteration=1&stage=prompts").content.decode()
    assert "Draw the" in samples  # an example of what a filter removed
    assert re.search(r"Go on\.</span>\s*<span class=\"mute\">\d+ times", samples)


def test_characters_that_no_database_can_store_are_replaced_before_the_comparison() -> None:
    admitted = PromptFilter([]).admit("Name \x00 a \ud83d river and \ud83d\ude00 a lake.")
    assert admitted.text == "Name \ufffd a \ufffd river and \U0001f600 a lake."
