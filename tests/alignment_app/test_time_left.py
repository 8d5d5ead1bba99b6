"""Estimate of the remaining time of a run."""

from __future__ import annotations

import pytest

from alignment_app.models import Run, Stage
from alignment_app.pages.time_left import TimeLeft, time_left
from alignment_app.selectors.runs import stages_of
from tests.support.stories import Story

pytestmark = pytest.mark.django_db

KNOWN = {"model": "org/model-1b", "max_length": 512}  # a name that contains the size


def left_of(run: Run) -> TimeLeft | None:
    loaded = Run.objects.prefetch_related("iterations__stages").get(pk=run.pk)
    return time_left(loaded, stages_of(loaded))


def test_later_stages_take_as_long_as_in_earlier_iterations() -> None:
    left = left_of(Story.launch().until(2, "judgements", 0.5).run)
    assert left is not None
    assert left.whole
    # Half of the judgements (35 s), then pairs 1 s, dataset 1 s, training 80 s, evaluation 30 s.
    assert left.seconds == pytest.approx(35 + 1 + 1 + 80 + 30, abs=2)


def test_a_first_iteration_takes_as_long_as_in_a_finished_run_of_the_same_settings() -> None:
    Story.launch().to_the_end()
    left = left_of(Story.launch(name="the same under another name").until(0, "sft", 0.5).run)
    assert left is not None
    assert left.whole
    # Half of the fine-tuning and its evaluation (60 s), then two iterations of 233 s.
    assert left.seconds == pytest.approx(30 + 30 + 2 * 233, abs=5)


def test_without_any_earlier_run_the_estimate_is_taken_and_corrected() -> None:
    left = left_of(Story.launch(student=KNOWN).until(1, "responses", 0.5).run)
    assert left is not None
    assert left.whole
    assert left.seconds > 25


def test_without_an_estimate_only_the_running_stage_is_predicted() -> None:
    left = left_of(Story.launch().until(1, "responses", 0.5).run)
    assert left is not None
    assert not left.whole
    assert left.seconds == pytest.approx(25, abs=1)


def test_time_is_not_invented_without_a_speed() -> None:
    run = Story.launch().until(1, "responses", 0.5).run
    Stage.objects.filter(status=Stage.Status.RUNNING).update(rate=None)
    assert left_of(run) is None


def test_time_is_predicted_until_the_next_review() -> None:
    left = left_of(Story.launch(student=KNOWN, review={"enabled": True}).until(1, "judgements", 0.5).run)
    assert left is not None
    assert left.whole
    assert left.seconds == pytest.approx(35 + 1, abs=2)


def test_overlapping_teacher_time_is_not_counted_twice() -> None:
    run = Story.launch().until(2, "responses", 0.5).run
    alone = left_of(run)
    ahead = Stage.objects.get(iteration__run=run, kind="judgements", iteration__number=2)
    ahead.done, ahead.total, ahead.rate = 40, 160, 4.0
    ahead.save()
    left = left_of(run)
    assert alone is not None
    assert left is not None
    # Responses take 25 s more and judgements 30 s at this rate: they end 5 s after the responses, not 70 s.
    assert alone.seconds - left.seconds == pytest.approx(70 - 5, abs=2)


def test_a_finished_run_has_no_time_left() -> None:
    assert left_of(Story.launch().to_the_end().run) is None
