"""Jobs that freeze training sets and train on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alignment_app import human_feedback
from alignment_app.models import Checkpoint, DatasetSnapshot
from alignment_app.selectors import work as selectors
from alignment_app.services import artifacts, eft_rows, events, rows, stages
from training.config import PreferenceConfig, SFTConfig
from training.domain.margins import MarginFigures, margin_figures
from training.domain.pair_split import split_pairs
from training.jobs.choose_lambda import train_with_best_lambda
from training.jobs.early_stopping import train_with_early_stopping
from training.jobs.margins import measure_margins
from training.jobs.stage_work import CannotContinue, StageWork
from training.jobs.start_training import start_fine_tuning, start_training
from training.jobs.tracking import Tracking
from training.plan.training import DatasetResult, PreferenceResult, TrainingResult
from training.trainers.log_ratios import measure_pairs
from training.trainers.results import TrainResult


def freeze_dataset(job: StageWork) -> DatasetResult:
    """Freeze the training set: IFT and EFT rows for M1, pairs for all later models."""
    apart: dict[str, int] = {}
    if job.iteration.number == 0:
        kind = DatasetSnapshot.Kind.SFT
        built = [eft_rows.name_of(job.run.pk, "train")] if job.config.eft.enabled else []
        source: Iterable[tuple[dict[str, Any], dict[str, int]]] = itertools.chain(
            selectors.sft_rows(job.config.sft.datasets, job.config.sft.limit),
            selectors.sft_rows(built, None),
            human_feedback.provider().training_rows(job.config, job.judge_of("judging.template")),
        )
    else:
        kind = DatasetSnapshot.Kind.PREFERENCE
        apart = _divide_pairs(job)
        source = selectors.preference_rows(
            job.run.pk, job.iteration.number, mix_previous=job.config.training.mix_previous
        )
    try:
        snapshot = artifacts.freeze(job.attempt, job.iteration, kind, source)
    except artifacts.EmptyTrainingSet:
        raise CannotContinue(f"The training set would be empty: {_why_empty(job)}, then resume.") from None
    stages.progress(job.attempt, done=snapshot.row_count, total=snapshot.row_count, rate=None)
    return DatasetResult(hash=snapshot.content_hash, rows=snapshot.row_count, **apart)


def _divide_pairs(job: StageWork) -> dict[str, int]:
    """Split off the held-out pairs and limit the others to the configured number, unless already frozen."""
    config = job.config.training
    if not DatasetSnapshot.objects.filter(iteration=job.iteration).exists():
        pairs = selectors.pair_contents(job.iteration)
        division = split_pairs(
            pairs, held_out=config.held_out_pairs, most=config.most_pairs(job.iteration.number), seed=job.config.seed
        )
        rows.divide_pairs(job.attempt, job.iteration, division)
        if pairs and not division.train:
            raise CannotContinue(
                f"All {len(pairs)} pairs are held out, so none is left to train on. Clone the run with fewer "
                "training.held_out_pairs, or with more prompts."
            )
    counts = selectors.pair_parts(job.iteration)
    return {name: counts[name] for name in ("held_out", "left_out") if counts.get(name)}


def _why_empty(job: StageWork) -> str:
    if not job.iteration.number:
        return "the data sets hold no rows, and no human score can be used. Import some"
    return "every pair is excluded. Restore some pairs"


def fine_tune(job: StageWork) -> TrainingResult:
    """Train M1 from M0 by supervised fine-tuning."""
    data = artifacts.read_snapshot(job.iteration.snapshot)
    result = start_fine_tuning(job, data, "M1", seed=job.seed("sft"))
    _register(job, result, {}, kind=Checkpoint.Kind.SFT, reference=None)
    return TrainingResult(steps=result.steps, seconds=result.seconds, loss=result.loss)


def train_on_preferences(job: StageWork) -> PreferenceResult:
    """Train M_t+1 from M_t, by preference training or by fine-tuning on the chosen responses only."""
    training = _Training(job)
    chosen: dict[str, Any] = {}
    config, folder = job.config.training, training.folder
    if config.chooses_lambda:
        result, chosen = train_with_best_lambda(job, folder, training.train, training.measure)
    elif config.early_stopping:
        result, chosen = train_with_early_stopping(
            job, folder, config.early_stopping, lambda step: training.train(config, folder, "", pause_at=step)
        )
    else:
        result = training.train(config, folder, "")
    checkpoint = _register(job, result, chosen, kind=Checkpoint.Kind.PREFERENCE, reference=training.reference)
    measure_margins(job, checkpoint, training.reference, training.data)
    lam = chosen.get("lam")
    return PreferenceResult(steps=result.steps, seconds=result.seconds, loss=result.loss, lam=lam)


class _Training:
    """The preference training of one iteration, with its data and its reference."""

    def __init__(self, job: StageWork) -> None:
        self.job, self.start = job, job.start
        self.data = artifacts.read_snapshot(job.iteration.snapshot)
        which = {"previous": self.start.number, "m1": 1, "base": 0}[job.config.training.reference]
        self.reference = selectors.checkpoint(job.run.pk, which)
        self.folder = artifacts.run_folder(job.run.pk) / f"M{self.start.number + 1}"

    def train(self, config: PreferenceConfig, folder: Path, series: str, *, pause_at: int | None = None) -> TrainResult:
        """Train into ``folder``, to step ``pause_at`` or to the end.

        ``series`` names the curves if a stage runs several trainings.
        """
        job = self.job
        with Tracking(job, self.folder, config, series) as tracking:
            common: dict[str, Any] = {
                "model": job.weights(self.start.location),
                "output_dir": folder,
                "seed": job.seed("training"),
                "section": "training",
                "report": tracking.report,
                "should_stop": job.heartbeat.should_stop,
                "pause_at": pause_at,
            }
            if config.method == "positive_only":
                result = start_training(job, "sft", self._positive_rows(), as_fine_tuning(config), **common)
            else:
                reference = job.weights(self.reference.location)
                result = start_training(job, "preference", self.data, config, reference=reference, **common)
        return result

    def _positive_rows(self) -> list[dict[str, Any]]:
        """Return the rows of a training on chosen responses, after those of M1 with ``training.seed_rows``."""
        config = self.job.config.training
        rows = chosen_rows(self.data, min_score=config.min_chosen_score)
        if not rows:
            raise CannotContinue(
                f"No chosen response has a score of {config.min_chosen_score:g} or more. Clone the run with a smaller "
                "training.min_chosen_score, or with more prompts."
            )
        if not config.seed_rows:
            return rows
        seeds = DatasetSnapshot.objects.get(iteration__run=self.job.run, iteration__number=0)
        return [*artifacts.read_snapshot(seeds), *rows]

    def measure(self, model: Path) -> MarginFigures:
        """Return the margin figures of the model on the held-out pairs."""
        measured = measure_pairs(
            [row for _, row in selectors.held_out_pairs(self.job.iteration)],
            model=str(model),
            reference=self.job.weights(self.reference.location),
            batch_size=2 * self.job.config.training.micro_batch_size,
            should_stop=self.job.heartbeat.should_stop,
            refinement_prompt=self.job.config.training.refinement_prompt,
            store=artifacts.reference_store(),
            **self.job.student_limits,
        )
        return margin_figures([pair for pair in measured if pair is not None])


def chosen_rows(pairs: list[dict[str, Any]], *, min_score: float = 0.0) -> list[dict[str, Any]]:
    """Return fine-tuning rows of the chosen responses, without duplicates and without scores below ``min_score``."""
    rows_by_text: dict[tuple[str, str], dict[str, Any]] = {}
    for pair in pairs:
        if min_score and (pair.get("chosen_score") is None or pair["chosen_score"] < min_score):
            continue
        text = pair["chosen"][-1]["content"]
        row = {"messages": pair["prompt"], "completion": text} | ({"cut": True} if pair.get("chosen_cut") else {})
        rows_by_text.setdefault((str(pair["prompt"]), text), row)
    return list(rows_by_text.values())


def as_fine_tuning(config: PreferenceConfig) -> SFTConfig:
    """Return the fine-tuning settings that correspond to a preference config."""
    shared = SFTConfig.model_fields.keys() & PreferenceConfig.model_fields.keys()
    return SFTConfig(**{name: getattr(config, name) for name in shared})


def _register(
    job: StageWork, result: TrainResult, metrics: dict[str, Any], *, kind: str, reference: Checkpoint | None
) -> Checkpoint:
    for note in result.notes:
        events.log(job.run.pk, note, "warning")
    return artifacts.register_checkpoint(
        job.attempt,
        job.iteration,
        kind=kind,
        folder=result.model_dir,
        reference=reference,
        steps=result.steps,
        seconds=result.seconds,
        metrics={
            **result.last,
            **metrics,
            "tokens": result.tokens,
            "tokens_per_second": result.tokens / result.seconds if result.seconds else None,
            "resumed_from": result.resumed_from,
        },
    )
