"""Leakage between data sets: before launch, in the API, and on the checkpoint's page."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rq import Queue

from alignment_app.models import Dataset, DatasetSnapshot, LeakageReport, PreferencePair, Response, Run, SnapshotItem
from alignment_app.pages import launching
from alignment_app.pages.checkpoints import checkpoint_detail
from alignment_app.selectors import leakage as selectors
from alignment_app.services import leakage, queues
from tests.support.datasets import add_prompt, make_datasets
from tests.support.people import person
from tests.support.stories import Story
from training.config import RunConfig
from training.config.datasets import compared_datasets, measuring_names
from training.domain.leakage import Leak, Leakage
from training.jobs.leakage import compare

pytestmark = pytest.mark.django_db


def config(**changes: Any) -> RunConfig:
    data: dict[str, Any] = {
        "name": "leaks",
        "paradigm": "self_reward",
        "iterations": 1,
        "student": {"model": "m0"},
        "sft": {"datasets": ["seed"]},
        "prompts": {"dataset": "train", "count": 6},
        "evaluation": {"dataset": "held out", "count": 3},
    }
    return RunConfig.parse({**data, **changes})


@pytest.fixture
def sets() -> dict[str, Dataset]:
    """One of the six held-out prompts is also a training prompt, one is in a fine-tuning response."""
    made = make_datasets()
    Dataset.objects.get(name="held out").prompts.all().delete()
    passage = "twelve brown bears walked slowly over the old stone bridge into the quiet green valley"
    texts = ["Name a river.", "Why do cats purr?", f"Explain this: {passage}", "How are clouds made?"]
    for position, text in enumerate(texts):
        add_prompt(made["held out"], position, text)
    add_prompt(made["train"], 90, "why do cats purr")
    prompt = add_prompt(made["seed"], 90, "Tell me a story.")
    Response.objects.create(prompt=prompt, source="imported", purpose="target", index=0, text=f"Once, {passage}.")
    return made


def found(*, training: str) -> leakage.SetLeakage:
    return next(one for one in leakage.of_config(config()) if one.training == training)


def test_every_evaluation_set_is_compared_with_every_training_set() -> None:
    settings = config(
        pairs={"from_dataset": "pairs"},
        evaluation={"dataset": "held out", "pairs": "held pairs"},
        training={"early_stopping": {"dataset": "validation"}},
        evaluator={"kind": "oracle"},
    )
    compared = {(one.field, one.evaluation, one.training) for one in compared_datasets(settings)}
    assert compared == {
        (field, evaluation, training)
        for field, evaluation in (
            ("evaluation.dataset", "held out"),
            ("evaluation.pairs", "held pairs"),
            ("training.early_stopping.dataset", "validation"),
        )
        for training in ("seed", "pairs")
    }
    assert set(measuring_names(settings)) == {"held out", "held pairs", "validation"}


def test_shared_prompts_and_passages_are_found_by_content(sets: dict[str, Dataset]) -> None:
    train, seed = found(training="train").found, found(training="seed").found
    assert train is not None
    assert (train.prompts, train.same, train.near, train.passage) == (4, 1, 0, 0)
    assert seed is not None
    assert (seed.same, seed.near, seed.passage) == (0, 0, 1)
    warned = dict(launching.warnings_of(config(), launching.dataset_choices(), leakage.of_config(config())))
    assert "evaluation.dataset" in warned


def test_a_result_is_stored_until_the_content_changes(
    sets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(training="train").found is not None
    calls: list[str] = []
    real = leakage.find_leakage
    monkeypatch.setattr(leakage, "find_leakage", lambda *texts: calls.append("computed") or real(*texts))
    assert found(training="train").found is not None
    assert calls == []
    add_prompt(sets["train"], 91, "NAME A RIVER!")
    again = found(training="train").found
    assert again is not None
    assert (again.same, calls) == (2, ["computed"])


@pytest.mark.django_db(transaction=True)
def test_large_sets_are_compared_by_a_job(
    sets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch, client: Client, valkey: Any
) -> None:
    monkeypatch.setattr(leakage, "DIRECT_ROWS", 5)
    assert found(training="train").found is None
    assert found(training="train").found is None  # asks once
    waiting = [
        job
        for job in Queue("light", connection=queues.connection()).get_jobs()
        if job.func_name == queues.LEAKAGE_ENTRY_POINT
    ]
    assert sorted(job.args for job in waiting) == sorted(
        (sets["held out"].pk, sets[name].pk) for name in ("seed", "train")
    )
    client.force_login(person())
    answer = client.post("/api/v1/runs/estimate/", {"config": config().to_dict()}, content_type="application/json")
    assert [one["status"] for one in answer.json()["leakage"]] == ["computing", "computing"]
    for job in waiting:
        compare(*job.args)
    ready = found(training="train").found
    assert ready is not None
    assert ready.same == 1
    answer = client.post("/api/v1/runs/estimate/", {"config": config().to_dict()}, content_type="application/json")
    shapes = {one["training"]: one for one in answer.json()["leakage"]}
    assert (shapes["train"]["status"], shapes["train"]["same"], shapes["seed"]["passage"]) == ("done", 1, 1)
    sets["train"].prompts.all().delete()
    sets["train"].delete()
    compare(sets["held out"].pk, 10**6)  # a data set that was removed meanwhile
    assert not LeakageReport.objects.filter(training__name="train").exists()


def yaml_file(folder: Path) -> str:
    path = folder / "run.yaml"
    path.write_text(config().to_yaml(), encoding="utf-8")
    return str(path)


def test_the_launch_page_and_the_command_show_the_leaks(
    sets: dict[str, Dataset], client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = StringIO()
    call_command("launch", yaml_file(tmp_path), check=True, stdout=out)
    assert len(out.getvalue().splitlines()) == 3  # valid, and one line for each training set
    client.force_login(person())
    run = Run.objects.create(name="x", config=config().to_dict(), config_hash="0", paradigm="self_reward")
    page = client.get(reverse("launch"), {"clone": run.pk})
    assert page.status_code == 200
    assert page.context["leaks"]
    assert not page.context["is_comparing"]
    assert {one.training for one in page.context["leakage"]} == {"seed", "train"}


def test_the_page_of_a_checkpoint_shows_what_it_was_trained_on(as_role: Any) -> None:
    run = Story.launch(prompts={"dataset": "story-prompts", "count": 8}).to_the_end().run
    m1, m2 = run.checkpoints.get(number=1), run.checkpoints.get(number=2)
    pairs = list(PreferencePair.objects.filter(iteration=m2.iteration))
    target = Response.objects.filter(prompt__dataset__name="story-ift")[0]
    for checkpoint, rows in ((m1, [{"response": target}]), (m2, [{"pair": pair} for pair in pairs])):
        checkpoint.snapshot, _ = DatasetSnapshot.objects.get_or_create(
            iteration=checkpoint.iteration, defaults={"kind": "preference", "path": "x", "row_count": len(rows)}
        )
        checkpoint.snapshot.items.all().delete()
        for position, row in enumerate(rows):
            SnapshotItem.objects.create(snapshot=checkpoint.snapshot, position=position, **row)
        checkpoint.save()
    m2 = run.checkpoints.get(number=2)
    assert m2.parent == m1
    texts = list(selectors.training_texts(m2))
    expected = [(pair.prompt.text, (pair.chosen.text, pair.rejected.text)) for pair in pairs]
    expected.append((target.prompt.text, (target.text,)))
    assert sorted((text.prompt, text.responses) for text in texts) == sorted(expected)
    assert len(list(selectors.training_texts(m1))) == 1
    stored = Leakage(20, 9, same=1, examples=(Leak(1, "same", "Held out?", "held out", 1.0),))
    m2.evaluation.leakage = stored.as_data()
    m2.evaluation.save()
    assert checkpoint_detail(m2).leakage == stored
    text = as_role("viewer").get(reverse("checkpoint", args=[m2.pk])).content.decode()
    assert "leakage-title" in text
