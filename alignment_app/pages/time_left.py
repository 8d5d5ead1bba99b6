"""Estimated remaining time of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Count

from alignment_app.models import Dataset, Run, Stage
from alignment_app.pages.machine import machine
from training.estimate import estimate

#: Assumed duration of a stage that only uses the database.
QUICK_SECONDS: Final = 1.0
#: Limits of the factor that corrects the estimate by the run's measured times.
LEAST_FACTOR, MOST_FACTOR = 0.2, 20.0


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Remaining seconds. ``whole`` is false if they cover the running stage only."""

    seconds: float
    whole: bool


def stage_seconds(stage: Stage) -> float | None:
    """Return the duration of a finished stage in seconds, else ``None``."""
    if stage.status != Stage.Status.DONE or not stage.started_at or not stage.finished_at:
        return None
    return (stage.finished_at - stage.started_at).total_seconds()


def stage_seconds_left(stage: Stage) -> float | None:
    """Return the remaining seconds of a running stage at its current rate, or ``None`` if the rate is unknown."""
    if stage.status != Stage.Status.RUNNING or not stage.rate or stage.total <= stage.done:
        return None
    return (stage.total - stage.done) / stage.rate


def time_left(run: Run, stages: Sequence[Stage]) -> TimeLeft | None:
    """Estimate the remaining time of a run.

    The running stage and stages with an overlapping remote teacher use their current rate. A later stage takes as long
    as the last stage of its kind in this run, else as in the newest finished run with the same config, else the
    corrected estimate. If none is known, the result covers the running stage only. Time ends at the next human review.
    """
    remaining = [stage for stage in stages if stage.status not in (Stage.Status.DONE, Stage.Status.SKIPPED)]
    if not remaining:
        return None
    now = stage_seconds_left(remaining[0])
    total = now or 0.0
    predict = _predictor(run, stages)
    for stage in remaining if now is None else remaining[1:]:
        if stage.spec.waits_for_people:
            break
        seconds = _left_after(now or 0.0, stage)
        if seconds is None:
            seconds = predict(stage)
        if seconds is None:
            return TimeLeft(now, whole=False) if now is not None else None
        total += seconds
    return TimeLeft(total, whole=True)


def _left_after(now: float, stage: Stage) -> float | None:
    """Return the seconds that an overlapping stage will still need in ``now`` seconds, or ``None`` for other stages."""
    if stage.status != Stage.Status.PENDING or not stage.rate:
        return None
    return max(0.0, (stage.total - stage.done) / stage.rate - now)


def _predictor(run: Run, stages: Sequence[Stage]) -> Callable[[Stage], float | None]:
    """Return a function that predicts the seconds of a later stage. Database queries run when first needed."""
    here = {
        stage.kind: seconds
        for stage in stages
        if stage.iteration.number > 0 and (seconds := stage_seconds(stage)) is not None
    }
    elsewhere: dict[tuple[int, str], float] | None = None
    estimated: dict[tuple[int, str], float] | None = None

    def predict(stage: Stage) -> float | None:
        nonlocal elsewhere, estimated
        if stage.kind in here:
            return here[stage.kind]
        if stage.queue == Stage.Queue.LIGHT:
            return QUICK_SECONDS
        place = (stage.iteration.number, str(stage.kind))
        if elsewhere is None:
            elsewhere = _same_settings(run)
        if place in elsewhere:
            return elsewhere[place]
        if estimated is None:
            estimated = _estimated(run, stages)
        return estimated.get(place)

    return predict


def _same_settings(run: Run) -> dict[tuple[int, str], float]:
    """Return the seconds of each stage of the newest finished run with the same config."""
    other = Run.objects.filter(config_hash=run.config_hash, status=Run.Status.FINISHED).exclude(pk=run.pk).first()
    if other is None:
        return {}
    found = Stage.objects.filter(iteration__run=other).select_related("iteration")
    return {
        (stage.iteration.number, str(stage.kind)): seconds
        for stage in found
        if (seconds := stage_seconds(stage)) is not None
    }


def _estimated(run: Run, stages: Sequence[Stage]) -> dict[tuple[int, str], float]:
    """Return the estimated seconds of each stage, scaled by the run's measured times."""
    if not run.stored_config.is_valid:
        return {}
    rows = dict(Dataset.objects.annotate(rows=Count("prompts")).values_list("name", "rows"))
    expected_seconds = estimate(run.typed_config, machine(), rows=rows, folders=(Path(settings.HOME),)).by_stage
    if not expected_seconds:
        return {}
    found = {(stage.iteration.number, str(stage.kind)): 0.0 for stage in stages} | expected_seconds
    taken = [(stage_seconds(stage) or 0.0, found[stage.iteration.number, str(stage.kind)]) for stage in stages]
    current = next((stage for stage in stages if stage.status == Stage.Status.RUNNING), None)
    if current is not None and current.rate and current.total:
        taken.append((current.total / current.rate, found[current.iteration.number, str(current.kind)]))
    real = sum(seconds for seconds, expected in taken if seconds and expected)
    expected = sum(expected for seconds, expected in taken if seconds and expected)
    factor = min(MOST_FACTOR, max(LEAST_FACTOR, real / expected)) if expected else 1.0
    return {place: seconds * factor for place, seconds in found.items()}
