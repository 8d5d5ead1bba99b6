"""``lam: auto``: choose λ among four values on held-out pairs (Yu et al., 2024, section 4.1).

A complete training is run per λ, from the same model on the same pairs in the same order. The trial with the highest
accuracy on the held-out pairs wins; ties are broken by the larger margin, then by the smaller λ. Its weights become the
iteration's model without another training.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alignment_app.services import events, stages
from training.config import LAMBDAS, PreferenceConfig
from training.domain.margins import MarginFigures
from training.jobs.stage_work import CannotContinue, StageWork
from training.plan.training import LambdaTrial, PreferenceProgress
from training.trainers.checkpoints import MODEL
from training.trainers.results import TrainResult

Train = Callable[[PreferenceConfig, Path, str], TrainResult]
Measure = Callable[[Path], MarginFigures]


def train_with_best_lambda(
    job: StageWork, folder: Path, train: Train, measure: Measure
) -> tuple[TrainResult, dict[str, Any]]:
    """Train with every λ and publish the best model at ``folder/model``.

    Returns the training result and the entry of the checkpoint's metrics. Trials already in the database are not
    trained again.
    """
    trials = PreferenceProgress.read(job.stage.progress).trials
    for lam in LAMBDAS:
        if any(trial.lam == lam for trial in trials):
            continue
        result = train(job.config.training.model_copy(update={"lam": lam}), _folder(folder, lam), f"λ {lam:g}")
        figures = measure(result.model_dir)
        if figures.accuracy is None or figures.margin is None:
            raise CannotContinue(
                "No held-out pair is left to choose λ on: all are excluded, or none fits into "
                "student.max_length. Restore one, or clone the run with a fixed λ."
            )
        trial = LambdaTrial(
            lam=lam,
            steps=result.steps,
            loss=result.loss,
            seconds=result.seconds,
            tokens=result.tokens,
            notes=result.notes,
            last=result.last,
            pairs=figures.pairs,
            accuracy=figures.accuracy,
            margin=figures.margin,
        )
        trials = (*trials, trial)
        stages.note(job.attempt, trials=trials)
        events.log(
            job.run.pk,
            f"λ {lam:g}: {figures.accuracy:.1%} of {figures.pairs} held-out pairs in order, "
            f"margin {figures.margin:.3f}.",
        )
        _keep_only(folder, best_trial(trials).lam)
    best = best_trial(trials)
    tried = ", ".join(f"{trial.lam:g}" for trial in trials)
    events.log(job.run.pk, f"λ {best.lam:g} was chosen among {tried}.")
    return _publish(folder, best), {"lam": best.lam, "trials": [trial.as_data() for trial in trials]}


def best_trial(trials: Sequence[LambdaTrial]) -> LambdaTrial:
    """Return the winning trial."""
    return max(trials, key=lambda trial: (trial.accuracy, trial.margin, -trial.lam))


def _folder(folder: Path, lam: float) -> Path:
    return folder / "trials" / f"lambda-{lam:g}"


def _keep_only(folder: Path, lam: float) -> None:
    """Remove the weights of all trials but the best so far."""
    for lost in LAMBDAS:
        if lost != lam:
            shutil.rmtree(_folder(folder, lost), ignore_errors=True)


def _publish(folder: Path, best: LambdaTrial) -> TrainResult:
    """Move the best trial's weights to ``folder/model`` with a single rename."""
    final, trial = folder / MODEL, _folder(folder, best.lam) / MODEL
    if trial.exists():
        shutil.rmtree(final, ignore_errors=True)
        trial.rename(final)
    shutil.rmtree(folder / "trials", ignore_errors=True)
    return TrainResult.of({**best.model_dump(), "resumed_from": 0}, final)
