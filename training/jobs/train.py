"""The jobs that freeze training sets and train on them."""

from __future__ import annotations

from typing import Any

from alignment_app.models import Checkpoint, DatasetSnapshot
from alignment_app.selectors import work as selectors
from alignment_app.services import artifacts, events, stages
from alignment_app.services.keeping import MetricsLog
from training.jobs.margins import measure_margins
from training.jobs.stage_work import CannotGoOn, StageWork
from training.trainers.preference import train_preference
from training.trainers.results import TrainResult
from training.trainers.sft import train_sft


def freeze_dataset(job: StageWork) -> dict[str, Any]:
    """Freeze the training set: IFT + EFT rows for M1, trainable pairs for every other model."""
    if job.iteration.number == 0:
        kind = DatasetSnapshot.Kind.SFT
        source = selectors.sft_rows(job.config.sft.datasets, job.config.sft.limit)
    else:
        kind = DatasetSnapshot.Kind.PREFERENCE
        source = selectors.preference_rows(
            job.run.pk, job.iteration.number, mix_previous=job.config.training.mix_previous
        )
    try:
        snapshot = artifacts.freeze(job.attempt, job.iteration, kind, source)
    except artifacts.EmptyTrainingSet:
        pairs, rows = "every pair is excluded. Restore some pairs", "the data sets hold no rows. Import some"
        why = pairs if job.iteration.number else rows
        raise CannotGoOn(f"The training set would be empty: {why}, then resume.") from None
    stages.progress(job.attempt, done=snapshot.row_count, total=snapshot.row_count, unit="rows", rate=None)
    return {"hash": snapshot.content_hash, "rows": snapshot.row_count}


def fine_tune(job: StageWork) -> dict[str, Any]:
    """M0 to M1."""
    data = artifacts.read_snapshot(job.iteration.snapshot)
    metrics = MetricsLog(job.keeper)
    result = train_sft(
        data,
        model=artifacts.resolve(job.start.location),
        output_dir=artifacts.run_folder(job.run.pk) / "M1",
        config=job.config.sft,
        seed=job.seed("sft"),
        **job.student_limits,
        report=metrics.report,
        should_stop=job.keeper.should_stop,
    )
    _register(job, metrics, result, kind=Checkpoint.Kind.SFT, reference=None)
    return _told(result)


def train_on_preferences(job: StageWork) -> dict[str, Any]:
    """M_t to M_t+1."""
    data = artifacts.read_snapshot(job.iteration.snapshot)
    start = job.start
    which = {"previous": start.number, "m1": 1, "base": 0}[job.config.training.reference]
    reference = selectors.checkpoint(job.run.pk, which)
    metrics = MetricsLog(job.keeper)
    result = train_preference(
        data,
        model=artifacts.resolve(start.location),
        reference=artifacts.resolve(reference.location),
        output_dir=artifacts.run_folder(job.run.pk) / f"M{start.number + 1}",
        config=job.config.training,
        seed=job.seed("training"),
        **job.student_limits,
        report=metrics.report,
        should_stop=job.keeper.should_stop,
    )
    checkpoint = _register(job, metrics, result, kind=Checkpoint.Kind.PREFERENCE, reference=reference)
    measure_margins(job, checkpoint, reference, data)
    return _told(result)


def _register(
    job: StageWork, metrics: MetricsLog, result: TrainResult, *, kind: str, reference: Checkpoint | None
) -> Checkpoint:
    metrics.flush()
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
            **metrics.last,
            "tokens": result.tokens,
            "tokens_per_second": result.tokens / result.seconds if result.seconds else None,
            "resumed_from": result.resumed_from,
        },
    )


def _told(result: TrainResult) -> dict[str, Any]:
    return {"steps": result.steps, "seconds": result.seconds, "loss": result.loss}
