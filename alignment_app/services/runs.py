"""User actions on runs: launch, pause, resume, cancel, approve a review, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from alignment_app.models import Checkpoint, Dataset, Iteration, Prompt, Run, Stage
from alignment_app.services import artifacts, events, judges, keys
from alignment_app.services.errors import Refused
from alignment_app.services.stages import open_attempt, queue_stage, start_next_stage
from alignment_app.signals import review_counts_due
from training.config import ConfigError, RunConfig, dataset_names, datasets
from training.gguf import GgufError, gguf_file, require_usable
from training.plan import EVALUATION, REVIEW, plan_iteration


@transaction.atomic
def launch(config: RunConfig, *, user: Any = None, preset: str = "", cloned_from: Run | None = None) -> Run:
    """Create a run with its iterations and stages, and queue the first stage.

    Raises :class:`training.config.ConfigError` when the config names something that does not exist.
    """
    check_names(config)
    run = Run.objects.create(
        name=config.name,
        config=config.to_dict(),
        config_hash=config.config_hash,
        judges=judges.judges_for_run(config),
        preset=preset,
        paradigm=config.paradigm,
        cloned_from=cloned_from,
        created_by=user,
        status_reason="Waiting for a worker.",
    )
    base = Checkpoint.objects.create(
        run=run, number=0, kind=Checkpoint.Kind.BASE, config_hash=config.config_hash, location=config.student.model
    )
    rule = config.judging.score_rule(config.paradigm)
    for number in range(config.iterations + 1):
        iteration = Iteration.objects.create(run=run, number=number, score_rule=rule.as_data())
        Stage.objects.bulk_create(
            Stage(
                iteration=iteration,
                kind=planned.kind,
                unit=planned.spec.unit,
                queue=planned.queue,
                position=position,
                status=Stage.Status.SKIPPED if planned.skipped else Stage.Status.PENDING,
            )
            for position, planned in enumerate(plan_iteration(config, number))
        )
    Iteration.objects.filter(run=run, number=0).update(input_checkpoint=base)
    if not config.sft.enabled:
        _base_is_m1(run, base)
    events.run_changed(run)
    start_next_stage(run)
    return run


def _base_is_m1(run: Run, base: Checkpoint) -> None:
    """Register M1 with the base model's weights, for runs without fine-tuning."""
    Checkpoint.objects.create(
        run=run,
        iteration=run.iterations.get(number=0),
        number=1,
        kind=Checkpoint.Kind.BASE,
        parent=base,
        config_hash=base.config_hash,
        location=base.location,
    )


def check_names(config: RunConfig) -> None:
    """Raise :class:`ConfigError` for each data set, folder and key in the config that does not exist."""
    problems = _dataset_problems(config) or _check_problems(config)
    try:
        judges.judges_for_run(config)
    except ConfigError as error:
        problems += error.problems
    problems += keys.config_problems(config)
    problems += [problem for problem in (model_problem(*pair) for pair in local_models(config)) if problem]
    if problems:
        raise ConfigError(problems)


def _dataset_problems(config: RunConfig) -> list[tuple[str, str]]:
    """Return (dotted field, message) for each required data set that is missing or of the wrong kind."""
    found = dict(Dataset.objects.filter(name__in=dataset_names(config)).values_list("name", "kind"))
    problems = []
    for reference in datasets(config):
        kinds = reference.ref.kinds
        for name in reference.names if reference.applies else ():
            if name not in found:
                problems.append((reference.field, f"there is no data set named {name!r}; import it first"))
            elif kinds and found[name] not in kinds:
                labels = " or ".join(Dataset.Kind(kind).label.lower() for kind in kinds)
                problems.append((reference.field, f"the data set {name!r} does not hold {labels}; choose another"))
    return problems


def _check_problems(config: RunConfig) -> list[tuple[str, str]]:
    """Return (dotted field, message) for each data set whose prompts carry no checks for the verifier."""
    with_checks = set(
        Dataset.objects.filter(
            Exists(Prompt.objects.filter(dataset=OuterRef("pk")).exclude(checks=[])),
            name__in=config.verified_datasets.values(),
        ).values_list("name", flat=True)
    )
    remedy = "import prompts with checks, or make them (manage.py make_constraints)"
    return [
        (field, f"no prompt of {name!r} carries checks for the verifier; {remedy}")
        for field, name in config.verified_datasets.items()
        if name and name not in with_checks
    ]


def local_models(config: RunConfig) -> list[tuple[str, str]]:
    """Return (dotted field, model) of each model of the config whose weights are loaded here."""
    models = [("student.model", config.student.model)]
    if config.prompts.source == "self_instruct" and config.prompts.writer == "model":
        models.append(("prompts.writer_model", config.prompts.writer_model))
    models += [(f"{role}.model", one.model) for role, one in config.models().items() if one.entry.loads_weights]
    return models


def model_problem(field: str, model: str) -> tuple[str, str] | None:
    """Return a problem if ``model`` is a local path without a usable model. Hub names are checked on loading."""
    folder = Path(artifacts.resolve(model))
    try:
        if (file := gguf_file(folder)) is not None:
            require_usable(file)
            return None
    except GgufError as error:
        return field, str(error)
    if not (model.startswith(("/", "./", "../", "~")) or "\\" in model):
        return None
    if not folder.is_dir():
        return field, f"there is no folder {model}; give a model folder, or a hub name like org/name"
    if not (folder / "config.json").is_file():
        return field, f"{model} has no config.json; give the folder of a saved model"
    return None


def _locked(run: Run) -> Run:
    return Run.objects.select_for_update().get(pk=run.pk)


def _set(run: Run, status: str, reason: str) -> None:
    run.status, run.status_reason = status, reason
    run.save(update_fields=["status", "status_reason", "pause_requested", "cancel_requested_at", "finished_at"])
    events.run_changed(run)


def _stop_queued_stages(run: Run) -> None:
    for stage in Stage.objects.select_related("iteration").filter(
        iteration__run=run, status__in=[Stage.Status.QUEUED, Stage.Status.RUNNING]
    ):
        stage.status = Stage.Status.STOPPED
        stage.save(update_fields=["status"])
        events.stage_changed(stage)


@transaction.atomic
def pause(run: Run, *, user: Any = None) -> Run:
    """Pause the run at the next safe point. All saved rows are kept."""
    run = _locked(run)
    if run.status not in (Run.Status.QUEUED, Run.Status.RUNNING):
        raise Refused("not_running", f"Only a queued or running run can be paused; this run is {run.status}.")
    run.pause_requested = True
    if open_attempt(run):
        _set(run, run.status, f"Pausing at the next safe point, requested by {user or 'the command line'}.")
    else:
        _stop_queued_stages(run)
        _set(run, Run.Status.PAUSED, f"Paused by {user or 'the command line'}.")
    return run


@transaction.atomic
def resume(run: Run, *, user: Any = None) -> Run:
    """Resume a stopped run; only missing rows are computed."""
    run = _locked(run)
    if run.status in (Run.Status.QUEUED, Run.Status.RUNNING) and run.pause_requested:
        run.pause_requested = False
        _set(run, run.status, f"Pause cancelled by {user or 'the command line'}.")
        return run
    if run.status not in Run.STOPPED:
        state = run.get_status_display().lower()
        raise Refused("not_stopped", f"Only a stopped run can be resumed; this run is {state}.")
    if open_attempt(run):
        raise Refused("still_at_work", "A worker is still working on this run. Try again in a few seconds.")
    run.pause_requested, run.cancel_requested_at, run.finished_at = False, None, None
    _set(run, Run.Status.QUEUED, f"Resumed by {user or 'the command line'}; waiting for a worker.")
    stage = Stage.objects.select_related("iteration").filter(iteration__run=run, status=Stage.Status.STOPPED).first()
    if stage:
        stage.forgiven = stage.attempts.count()
        stage.save(update_fields=["forgiven"])
        queue_stage(stage)
    else:
        start_next_stage(run)
    return run


@transaction.atomic
def measure_again(run: Run, *, user: Any = None) -> Run:
    """Reopen the last evaluation of a finished run to compute missing rows."""
    run = _locked(run)
    if run.status != Run.Status.FINISHED:
        state = run.get_status_display().lower()
        raise Refused(
            "not_finished", f"This run is {state}: the next evaluation computes the missing rows automatically."
        )
    done = Stage.objects.select_related("iteration").filter(
        iteration__run=run, kind=EVALUATION.kind, status=Stage.Status.DONE
    )
    stage = done.order_by("-iteration__number").first()
    if stage is None:
        raise Refused("not_evaluated", "This run has no evaluation. Clone it with evaluation enabled.")
    run.finished_at = None
    _set(run, Run.Status.QUEUED, f"Evaluation reopened by {user or 'the command line'}; waiting for a worker.")
    queue_stage(stage)
    return run


@transaction.atomic
def cancel(run: Run, *, user: Any = None) -> Run:
    """Stop the run at the next safe point, or by force after a grace period. Saved rows are kept."""
    run = _locked(run)
    if run.status == Run.Status.CANCELLING:
        return run
    if run.status in (Run.Status.CANCELLED, Run.Status.FINISHED):
        raise Refused("already_ended", f"This run is already {run.status}.")
    who = user or "the command line"
    run.cancel_requested_at = timezone.now()
    if open_attempt(run):
        _set(run, Run.Status.CANCELLING, f"Cancelled by {who}; stops at the next safe point.")
    else:
        _stop_queued_stages(run)
        run.finished_at = timezone.now()
        _set(run, Run.Status.CANCELLED, f"Cancelled by {who}.")
    return run


@transaction.atomic
def approve_review(iteration: Iteration, *, user: Any = None) -> Iteration:
    """Let a run that waits for review train on its current pairs."""
    review_counts_due.send(sender=Stage, iteration=iteration)
    run = _locked(iteration.run)
    stage = iteration.stages.select_related("iteration").filter(kind=REVIEW.kind).first()
    if stage is None or stage.status != Stage.Status.WAITING or run.status != Run.Status.WAITING:
        raise Refused("not_waiting", "This iteration is not waiting for review.")
    stage.status, stage.finished_at = Stage.Status.DONE, timezone.now()
    stage.reason = f"Review approved by {user or 'the command line'}."
    stage.save(update_fields=["status", "finished_at", "reason"])
    events.stage_changed(stage)
    _set(run, Run.Status.QUEUED, "Reviewed; waiting for a worker.")
    start_next_stage(run)
    return iteration


@transaction.atomic
def remove(run: Run, *, user: Any = None) -> None:
    """Delete a run with its rows. :mod:`alignment_app.services.artifacts` deletes its files after the commit."""
    from alignment_app.services import artifacts

    run = _locked(run)
    if run.status in Run.ACTIVE:
        raise Refused("active", "This run is active. Cancel it first.")
    borrowed = Checkpoint.objects.filter(parent__run=run).exclude(run=run).exists()
    if borrowed:
        raise Refused("in_use", "Another run uses a checkpoint of this run. Remove that run first.")
    artifacts.delete_run_rows(run)
