"""How long a run still takes."""

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

#: What a stage of database work is taken to last.
QUICK_SECONDS: Final = 1.0
#: The estimate is corrected by what the run's own stages took, within these limits.
LEAST_FACTOR, MOST_FACTOR = 0.2, 20.0


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Seconds until the end. ``whole`` is false where only the stage at work can be foreseen."""

    seconds: float
    whole: bool


def stage_seconds(stage: Stage) -> float | None:
    """How long a finished stage took."""
    if stage.status != Stage.Status.DONE or not stage.started_at or not stage.finished_at:
        return None
    return (stage.finished_at - stage.started_at).total_seconds()


def stage_seconds_left(stage: Stage) -> float | None:
    """What is missing over the speed; None while the speed is not known."""
    if stage.status != Stage.Status.RUNNING or not stage.rate or stage.total <= stage.done:
        return None
    return (stage.total - stage.done) / stage.rate


def time_left(run: Run, stages: Sequence[Stage]) -> TimeLeft | None:
    """Time left, from the speed of the stage at work and what is known of those to come.

    A stage that a remote teacher works on before its turn goes on at the speed that it has. Another is taken to last as
    long as the last one of its kind in this run, else as in the newest finished run of the same settings, else as the
    estimate says, corrected by how far that was off until now. Where none of them knows, only the stage at work is
    foretold, once its speed is known. How long people review is not foretold: the time is until they are asked.
    """
    ahead = [stage for stage in stages if stage.status not in (Stage.Status.DONE, Stage.Status.SKIPPED)]
    if not ahead:
        return None
    now = stage_seconds_left(ahead[0])
    total = now or 0.0
    foresee = _foresight(run, stages)
    for stage in ahead if now is None else ahead[1:]:
        if stage.spec.waits_for_people:
            break
        seconds = _left_after(now or 0.0, stage)
        if seconds is None:
            seconds = foresee(stage)
        if seconds is None:
            return TimeLeft(now, whole=False) if now is not None else None
        total += seconds
    return TimeLeft(total, whole=True)


def _left_after(now: float, stage: Stage) -> float | None:
    """What will be left of a stage to come that is worked on already, ``now`` seconds from now; else None."""
    if stage.status != Stage.Status.PENDING or not stage.rate:
        return None
    return max(0.0, (stage.total - stage.done) / stage.rate - now)


def _foresight(run: Run, stages: Sequence[Stage]) -> Callable[[Stage], float | None]:
    """How long a stage to come will take; what costs a look into the database is looked up when first needed."""
    here = {
        stage.kind: seconds
        for stage in stages
        if stage.iteration.number > 0 and (seconds := stage_seconds(stage)) is not None
    }
    elsewhere: dict[tuple[int, str], float] | None = None
    estimated: dict[tuple[int, str], float] | None = None

    def foresee(stage: Stage) -> float | None:
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

    return foresee


def _same_settings(run: Run) -> dict[tuple[int, str], float]:
    """Seconds of every stage of the newest finished run of the same settings."""
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
    """The estimate of every stage, corrected by what this run's stages took until now."""
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
