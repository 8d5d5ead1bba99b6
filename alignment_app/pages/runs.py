"""View models of the list of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import Prefetch, Q

from alignment_app.models import Checkpoint, Evaluation, Iteration, Run, Stage
from alignment_app.pages.figures import figures
from alignment_app.pages.time_left import TimeLeft, time_left
from alignment_app.selectors.queues import place_in_queue
from alignment_app.selectors.runs import CHANGED_AT, current_stage, elapsed, progress, stages_of
from training.config import PreferenceConfig, RunConfig
from training.domain.loss_specs import loss_label
from training.evaluation.registry import metrics

PAGE: Final = 20
#: Status filters of the list: label and statuses.
STATUS_GROUPS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "active": ("Running or queued", tuple(Run.ACTIVE)),
    "waiting": ("Waiting or paused", (Run.Status.WAITING, Run.Status.PAUSED)),
    "finished": ("Finished", (Run.Status.FINISHED,)),
    "wrong": ("Failed or crashed", (Run.Status.FAILED, Run.Status.CRASHED)),
    "cancelled": ("Cancelled", (Run.Status.CANCELLED,)),
}
PARADIGMS: Final = {
    "self_reward": "Self reward",
    "teacher_reward": "Teacher reward",
    "teacher_demonstration": "Teacher demonstration",
}


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of the list."""

    run: Run
    model: str
    recipe: str
    stage: Stage | None  #: the running stage, or the next one
    progress: float  #: share of finished stages, 0 to 1
    left: TimeLeft | None
    place: int  #: position in its queue; 0 if it is not queued
    newest: Checkpoint | None
    evaluation: Evaluation | None
    seconds: float | None

    @property
    def is_over(self) -> bool:
        return self.run.status in (Run.Status.FINISHED, Run.Status.CANCELLED)

    @property
    def reached(self) -> str:
        """The first metric of the newest evaluation with its value; empty without an evaluation."""
        found = figures(metrics("lineage"), self.evaluation.metrics) if self.evaluation else []
        return found[0].line if found else ""

    @property
    def where(self) -> str:
        """The stage and its iteration as text."""
        if self.stage is None:
            return ""
        return f"{self.stage.get_kind_display()}, {round_of(self.run, self.stage.iteration)}"


def round_of(run: Run, iteration: Iteration) -> str:
    """Return an iteration's position in its run as text."""
    if iteration.number == 0:
        return "start (M1)"
    return f"iteration {iteration.number} of {run.typed_config.iterations}"


def training_name(training: PreferenceConfig) -> str:
    """Return the label of a config's loss, or of fine-tuning on chosen responses."""
    return "Chosen only" if training.is_positive_only else loss_label(training.loss)


def short_model(name: str) -> str:
    """Return the last part of a path or hub name, with its parent if it has four characters or fewer."""
    parts = name.rstrip("/").split("/")
    return parts[-1] if len(parts[-1]) > 4 else "/".join(parts[-2:])


def preferences_of(config: RunConfig) -> str:
    """Return the label of the source of preferences: the paradigm, or pairs of a data set."""
    return "Pairs from a data set" if config.uses_ready_pairs else PARADIGMS.get(config.paradigm, config.paradigm)


def runs_page(query: str = "", status: str = "", paradigm: str = "", page: Any = 1) -> Page[RunRow]:
    """Return a page of runs, newest first.

    :param query: text in the name, model or preset, or a run's number.
    :param status: a key of :data:`STATUS_GROUPS`.
    :param paradigm: a key of :data:`PARADIGMS`.
    """
    found = Run.objects.annotate(changed_at=CHANGED_AT).select_related("created_by")
    words = query.strip()
    if words:
        wanted = Q(name__icontains=words) | Q(config__student__model__icontains=words) | Q(preset__icontains=words)
        if words.lstrip("#").isdecimal() and len(words) < 12:
            wanted |= Q(pk=int(words.lstrip("#")))
        found = found.filter(wanted)
    if status in STATUS_GROUPS:
        found = found.filter(status__in=STATUS_GROUPS[status][1])
    if paradigm in PARADIGMS:
        found = found.filter(paradigm=paradigm)
    pages: Page[Any] = Paginator(found.prefetch_related(*_RELATED), PAGE).get_page(page)
    pages.object_list = [run_row(run) for run in pages.object_list]
    return pages


_RELATED = (
    Prefetch("iterations__stages", queryset=Stage.objects.order_by("position")),
    Prefetch("checkpoints", queryset=Checkpoint.objects.select_related("evaluation").order_by("number")),
)


def run_row(run: Run) -> RunRow:
    """Return the list row of a run with prefetched stages and checkpoints."""
    stages = stages_of(run)
    current = current_stage(stages)
    made = [checkpoint for checkpoint in run.checkpoints.all() if checkpoint.number > 0]
    measured = [checkpoint for checkpoint in made if hasattr(checkpoint, "evaluation")]
    config = run.typed_config
    return RunRow(
        run=run,
        model=short_model(config.student.model),
        recipe=f"{preferences_of(config)}, {training_name(config.training)}",
        stage=current,
        progress=progress(stages),
        left=time_left(run, stages) if run.status == Run.Status.RUNNING else None,
        place=place_in_queue(current) if current and run.status == Run.Status.QUEUED else 0,
        newest=made[-1] if made else None,
        evaluation=measured[-1].evaluation if measured else None,
        seconds=elapsed(run),
    )
