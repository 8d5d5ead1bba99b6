"""``lam: auto``: the λ of 003 section 4.1, chosen among four by the pairs that the iteration held out.

Each λ is trained as a whole, from the same model on the same pairs in the same order. The best is the one with the
highest accuracy on the held-out pairs; of equal ones the one with the larger margin, then the smaller λ. Its weights
are the iteration's model; nothing is trained again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alignment_app.services import events, stages
from training.config import LAMBDAS, PreferenceConfig
from training.domain.margins import MarginFigures
from training.jobs.stage_work import CannotGoOn, StageWork
from training.plan.training import LambdaTrial, PreferenceProgress
from training.trainers.checkpoints import MODEL
from training.trainers.results import TrainResult

Train = Callable[[PreferenceConfig, Path, str], TrainResult]
Measure = Callable[[Path], MarginFigures]


def train_with_best_lambda(
    job: StageWork, folder: Path, train: Train, measure: Measure
) -> tuple[TrainResult, dict[str, Any]]:
    """Train with every λ and publish the best at ``folder/model``; with what was found, for the checkpoint.

    A trial that is recorded is not trained again.
    """
    trials = PreferenceProgress.read(job.stage.progress).trials
    for lam in LAMBDAS:
        if any(trial.lam == lam for trial in trials):
            continue
        result = train(job.config.training.model_copy(update={"lam": lam}), _folder(folder, lam), f"λ {lam:g}")
        found = measure(result.model_dir)
        if found.accuracy is None or found.margin is None:
            raise CannotGoOn(
                "No held-out pair is left to choose λ on: people have excluded them all, or none fits into "
                "student.max_length. Restore one, or clone the run with a λ by hand."
            )
        trial = LambdaTrial(
            lam=lam,
            steps=result.steps,
            loss=result.loss,
            seconds=result.seconds,
            tokens=result.tokens,
            notes=result.notes,
            last=result.last,
            pairs=found.pairs,
            accuracy=found.accuracy,
            margin=found.margin,
        )
        trials = (*trials, trial)
        stages.note(job.attempt, trials=trials)
        events.log(
            job.run.pk,
            f"λ {lam:g}: {found.accuracy:.1%} of {found.pairs} held-out pairs in order, margin {found.margin:.3f}.",
        )
        _keep_only(folder, best_trial(trials).lam)
    best = best_trial(trials)
    asked = ", ".join(f"{trial.lam:g}" for trial in trials)
    events.log(job.run.pk, f"λ {best.lam:g} is chosen among {asked}.")
    return _publish(folder, best), {"lam": best.lam, "trials": [trial.as_data() for trial in trials]}


def best_trial(trials: Sequence[LambdaTrial]) -> LambdaTrial:
    """The trial whose λ is taken."""
    return max(trials, key=lambda trial: (trial.accuracy, trial.margin, -trial.lam))


def _folder(folder: Path, lam: float) -> Path:
    return folder / "trials" / f"lambda-{lam:g}"


def _keep_only(folder: Path, lam: float) -> None:
    """Remove the weights of the trials that can no longer be the best."""
    for lost in LAMBDAS:
        if lost != lam:
            shutil.rmtree(_folder(folder, lost), ignore_errors=True)


def _publish(folder: Path, best: LambdaTrial) -> TrainResult:
    """Put the best trial's weights where the iteration's model stands, by one rename."""
    final, trial = folder / MODEL, _folder(folder, best.lam) / MODEL
    if trial.exists():
        shutil.rmtree(final, ignore_errors=True)
        trial.rename(final)
    shutil.rmtree(folder / "trials", ignore_errors=True)
    return TrainResult.of({**best.model_dump(), "resumed_from": 0}, final)
