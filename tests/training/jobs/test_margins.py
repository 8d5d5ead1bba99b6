"""Margins of training and evaluation pairs, saved with the checkpoint after preference training."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment_app.models import Checkpoint, Dataset, PairMargin, PreferencePair, Prompt, Response, Run, RunEvent, Stage
from alignment_app.services import artifacts, runs
from alignment_app.services.rows import content_hash
from training.config import RunConfig
from training.domain.margins import MeasuredPair, margin_figures
from training.jobs import work

pytestmark = pytest.mark.django_db(transaction=True)


def _dataset(name: str, count: int, *, scored: bool = True) -> Dataset:
    dataset = Dataset.objects.create(name=name, kind=Dataset.Kind.PREFERENCES)
    for number in range(count):
        messages = [{"role": "user", "content": f"{name} {number}?"}]
        prompt = Prompt.objects.create(
            dataset=dataset, source="imported", messages=messages, text=f"{number}?", position=number,
            content_hash=content_hash(messages),
        )  # fmt: skip
        chosen, rejected = (
            Response.objects.create(prompt=prompt, source="imported", purpose="candidate", index=index, text=text)
            for index, text in enumerate((f"yes {number * 3}", f"no, {'not ' * (number % 3)}that"))
        )
        scores = {"chosen_score": 3 + number % 2, "rejected_score": 1, "margin": 2 + number % 2} if scored else {}
        PreferencePair.objects.create(prompt=prompt, chosen=chosen, rejected=rejected, origin="imported", **scores)
    return dataset


def _run(student: Path, **evaluation: object) -> Run:
    config = {
        "name": "ready pairs",
        "paradigm": "self_reward",
        "iterations": 1,
        "student": {"model": str(student), "max_length": 512},
        "sft": {"enabled": False},
        "pairs": {"from_dataset": "pairs"},
        "prompts": {"count": 6},
        "training": {"batch_size": 2, "micro_batch_size": 2, "learning_rate": 3e-3, "final_learning_rate": 3e-3},
        "evaluation": {"dataset": "pairs", "count": 3, "max_new_tokens": 4, "self_judge": False, **evaluation},
    }
    run = runs.launch(RunConfig.parse(config))
    while stage := Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).first():
        work(run.pk, stage.queue)
    run.refresh_from_db()
    assert run.status == Run.Status.FINISHED, run.status_reason
    return run


def _measured(checkpoint: Checkpoint, part: str) -> list[MeasuredPair]:
    return [
        MeasuredPair(row.chosen_log_ratio, row.rejected_log_ratio, row.augmented_margin, row.score_difference)
        for row in checkpoint.pair_margins.filter(part=part)
    ]


def test_the_margins_of_a_checkpoint_are_computed_from_saved_rows(little_student: Path) -> None:
    _dataset("pairs", 8)
    _dataset("other pairs", 5)
    run = _run(little_student, pairs="other pairs")
    m2 = run.checkpoints.get(number=2)
    trained = m2.pair_margins.filter(part=PairMargin.Part.TRAINING)
    assert set(trained.values_list("pair", flat=True)) == set(m2.snapshot.items.values_list("pair", flat=True))
    other = m2.pair_margins.filter(part=PairMargin.Part.EVALUATION)
    assert len(set(other.values_list("pair__prompt__text", flat=True)) & {"0?", "1?", "2?", "3?", "4?"}) == 3
    for part, counted in (("training", 6), ("evaluation", 3)):
        rows, kept = _measured(m2, part), m2.metrics["margins"][part]
        assert len(rows) == kept["pairs"] == kept["scored"] == counted
        figures = margin_figures(rows)
        assert kept["pearson"] == pytest.approx(figures.pearson)
        assert kept["kendall"] == pytest.approx(figures.kendall)
        assert kept["accuracy"] == figures.accuracy
    assert m2.metrics["margins"]["training"]["margin"] != 0
    assert all(row.margin == pytest.approx(row.chosen_log_ratio - row.rejected_log_ratio) for row in trained)
    assert list((artifacts.run_folder(run.pk) / "M2" / "tensorboard").glob("events.out.tfevents.*"))
    said = [event.payload["text"] for event in RunEvent.objects.filter(run=run, kind="log")]
    assert any("training pairs in order; margin against score: Pearson" in text for text in said)


def test_pairs_without_scores_have_margins_and_no_correlation(little_student: Path) -> None:
    _dataset("pairs", 6, scored=False)
    m2 = _run(little_student).checkpoints.get(number=2)
    figures = m2.metrics["margins"]["training"]
    assert (figures["pairs"], figures["scored"], figures["pearson"]) == (6, 0, None)
    assert figures["accuracy"] is not None
    assert "evaluation" not in m2.metrics["margins"]


def test_a_run_with_measured_pairs_can_be_removed_and_its_data_set_after_it(little_student: Path) -> None:
    dataset = _dataset("pairs", 6)
    run = _run(little_student, pairs="pairs")
    runs.remove(run)
    assert not PairMargin.objects.exists()
    dataset.delete()
    assert not PreferencePair.objects.exists()
