"""Studies for the screen: the list, one with the outcome of each run, its lines, and the same as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import Prefetch, QuerySet

from alignment_app.models import Checkpoint, Run, Stage, Study, StudyRun
from alignment_app.pages import runs
from alignment_app.pages.figures import values_of
from alignment_app.pages.form_words import label_of
from alignment_app.selectors.runs import CHANGED_AT, current_stage, elapsed, progress, stages_of
from training.config import RunConfig
from training.domain.loss_specs import loss_label
from training.domain.metric import Metric, Place
from training.estimate import Estimate
from training.evaluation.registry import metrics

PAGE: Final = 20
#: The sets of pairs in the order of importance to a study; what is measured on no such set comes before "training".
_PARTS: Final = {"margins/held_out": 0, "margins/evaluation": 1, "margins/training": 3}
STATES: Final = ("finished", "running", "queued", "waiting", "paused", "failed", "crashed", "cancelling", "cancelled")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run of a study with what its newest model reached."""

    run: Run
    values: list[str]  #: in the order of the axes, as words
    raw: list[Any]
    where: str  #: the stage it is at
    progress: float  #: 0 to 1
    checkpoint: Checkpoint | None
    measures: dict[str, Any]  #: value by the key of its metric
    seconds: float | None


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study with its runs' outcomes."""

    study: Study
    fields: list[tuple[str, str]]  #: dotted field and its label, the x axis first
    outcomes: list[Outcome]
    states: list[tuple[str, str, int]]  #: state, its label, number of runs
    measures: list[Metric]  #: those that some run has

    @property
    def progress(self) -> float:
        shares = [1.0 if row.run.status == Run.Status.FINISHED else row.progress for row in self.outcomes]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def is_active(self) -> bool:
        return any(row.run.status in Run.ACTIVE for row in self.outcomes)

    @property
    def verbs(self) -> tuple[str, ...]:
        """What may be asked of its runs now."""
        now = {row.run.status for row in self.outcomes}
        status = Run.Status
        asked = []
        if now & {status.QUEUED, status.RUNNING}:
            asked.append("pause")
        if now & set(Run.STOPPED):
            asked.append("resume")
        if now - {status.FINISHED, status.CANCELLED, status.CANCELLING}:
            asked.append("cancel")
        if not now & set(Run.ACTIVE):
            asked.append("remove")
        return tuple(asked)

    @property
    def table_measures(self) -> list[Metric]:
        """The columns of the table: the first few, the rest is in the file."""
        return self.measures[:6]


def word(value: Any) -> str:
    """A value of an axis as a person reads it."""
    if value is None:
        return "all"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return loss_label(str(value))


def _with_runs(studies: QuerySet[Study]) -> QuerySet[Study]:
    stages = Prefetch("run__iterations__stages", queryset=Stage.objects.order_by("position"))
    made = Prefetch("run__checkpoints", queryset=Checkpoint.objects.select_related("evaluation").order_by("number"))
    ran = Run.objects.annotate(changed_at=CHANGED_AT)
    places = StudyRun.objects.order_by("position").prefetch_related(Prefetch("run", queryset=ran), stages, made)
    return studies.select_related("created_by").prefetch_related(Prefetch("places", queryset=places))


def load(pk: int) -> Study:
    """A study with everything its page draws. Raises ``Study.DoesNotExist``."""
    return _with_runs(Study.objects.all()).get(pk=pk)


def view(study: Study) -> StudyView:
    """A loaded study."""
    outcomes = [_outcome(place) for place in study.places.all()]
    counted = Counter(row.run.status for row in outcomes)
    return StudyView(
        study=study,
        fields=[(axis["field"], label_of(axis["field"]).partition(",")[0]) for axis in study.axes],
        outcomes=outcomes,
        states=[(state, str(Run.Status(state).label), counted[state]) for state in STATES if counted[state]],
        measures=[one for one in studied("study") if any(row.measures.get(one.key) is not None for row in outcomes)],
    )


def _outcome(place: StudyRun) -> Outcome:
    run = place.run
    stages = stages_of(run)
    current = current_stage(stages)
    trained = [one for one in run.checkpoints.all() if one.number > 0 and one.kind != Checkpoint.Kind.BASE]
    newest = trained[-1] if trained else None
    return Outcome(
        run=run,
        values=[word(value) for value in place.values],
        raw=list(place.values),
        where=f"{current.get_kind_display()}, {runs.round_of(run, current.iteration)}" if current else "",
        progress=progress(stages),
        checkpoint=newest,
        measures=_values(newest) if newest else {},
        seconds=elapsed(run),
    )


def _values(checkpoint: Checkpoint) -> dict[str, Any]:
    values = values_of(checkpoint)
    return {metric.key: metric.value(values) for metric in metrics()}


def studied(place: Place | None = None) -> list[Metric]:
    """The metrics by which runs of a study are compared, the most telling first."""
    return sorted(metrics(place), key=lambda metric: _PARTS.get(metric.rows, 2))


def plot(shown: StudyView) -> dict[str, Any]:
    """What the page's script draws: a line for each value of the second field, over the first."""
    series: dict[str, list[dict[str, Any]]] = {}
    for row in shown.outcomes:
        label = row.values[1] if len(row.values) > 1 else ""
        series.setdefault(label, []).append({"x": row.raw[0], "word": row.values[0], "y": row.measures})
    numbers = list(shown.study.axes[0]["values"])
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)
    return {
        "x": shown.fields[0][1],
        "series_of": shown.fields[1][1] if len(shown.fields) > 1 else "",
        "numeric": is_numeric,
        "words": [word(value) for value in numbers],
        "series": [{"label": label, "points": points} for label, points in series.items()],
        "measures": [{"key": one.key, "label": one.title, "form": one.format} for one in shown.measures],
    }


def table(shown: StudyView) -> Iterator[list[Any]]:
    """The outcomes as rows, a heading first."""
    keys = [metric.key for metric in studied()]
    yield ["run", "name", "status", *(field for field, _ in shown.fields), "model", *keys]
    for row in shown.outcomes:
        model = row.checkpoint.name if row.checkpoint else ""
        values = ["" if row.measures.get(key) is None else row.measures[key] for key in keys]
        yield [row.run.pk, row.run.name, row.run.status, *row.raw, model, *values]


def studies_page(number: Any) -> Page[StudyView]:
    """Studies, newest first."""
    page: Page[Any] = Paginator(_with_runs(Study.objects.all()), PAGE).get_page(number)
    page.object_list = [view(study) for study in page.object_list]
    return page


def measured_by(config: RunConfig) -> list[str]:
    """What the runs of a study will be held by, in words; empty where nothing would be measured."""
    found = []
    if config.training.held_out_pairs:
        found.append("accuracy and margin on held-out pairs")
    if config.evaluation.enabled and config.evaluation.pairs:
        found.append("accuracy and margin on the evaluation's pairs")
    if config.evaluation.enabled and config.teacher.exists:
        found.append("scores and win rate on held-out prompts")
    return found


def bases() -> list[Run]:
    """Runs that a study may start from: the newest ones."""
    return list(Run.objects.order_by("-created_at", "-id")[:30])


@dataclass(frozen=True, slots=True)
class Cost:
    """All runs of a study, one after another: ``None`` where the size of the model is not known."""

    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    fits: bool
    notes: list[str]


def cost_of(estimates: Sequence[Estimate]) -> Cost:
    """Time and disk of all runs added up, memory of the hungriest."""
    seconds = [one.seconds for one in estimates]
    memory = [one.memory_bytes for one in estimates]
    disk = [one.disk_bytes for one in estimates]
    known = None not in seconds
    return Cost(
        seconds=sum(value for value in seconds if value is not None) if known else None,
        memory_bytes=max(value for value in memory if value is not None) if known else None,
        disk_bytes=sum(value for value in disk if value is not None) if known else None,
        fits=all(one.fits for one in estimates),
        notes=list(dict.fromkeys(note for one in estimates for note in one.notes if not one.fits or not known))[:3],
    )


def repeats(config: RunConfig) -> str:
    """What every run of a study makes again although it is the same, and how to make it once; or nothing."""
    made = []
    if config.sft.enabled:
        made.append("fine-tunes M1")
    if config.iterations and not config.pairs.from_dataset:
        made.append("makes its pairs")
    if not made:
        return ""
    return (
        f"Each run {' and '.join(made)} anew; where the settings up to there are equal, so are the rows. To do it "
        "once: start from that M1's folder as student.model with sft.enabled off, and from a data set with "
        "pairs.from_dataset."
    )
