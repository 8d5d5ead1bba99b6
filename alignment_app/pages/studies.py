"""View models of the study pages: list, results of each run, plot and CSV table."""

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
from alignment_app.pages.study_cells import StudyCell, averaged, bounds_of, cells
from alignment_app.selectors.runs import CHANGED_AT, current_stage, elapsed, progress, stages_of
from training.config import RunConfig
from training.config.grid import SEED
from training.domain.loss_specs import loss_label
from training.domain.metric import Metric, Place
from training.estimate import Estimate
from training.evaluation.registry import metrics

PAGE: Final = 20
#: Order of metrics by set of pairs. Metrics without such a set come before "training".
_PARTS: Final = {"margins/held_out": 0, "margins/evaluation": 1, "margins/training": 3}
STATES: Final = ("finished", "running", "queued", "waiting", "paused", "failed", "crashed", "cancelling", "cancelled")


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A run of a study with the metrics of its newest model."""

    run: Run
    values: list[str]  #: formatted values, one per axis
    raw: list[Any]
    where: str  #: its current stage
    progress: float  #: 0 to 1
    checkpoint: Checkpoint | None
    measures: dict[str, Any]  #: values by metric key, with the bounds of their intervals
    seed: Any  #: of a study that varies the seed
    seconds: float | None


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study with the results of its runs, averaged over seeds."""

    study: Study
    fields: list[tuple[str, str]]  #: dotted field and its label, the x axis first, without the seed
    outcomes: list[StudyRow]
    cells: list[StudyCell[StudyRow]]
    seeds: int  #: number of seeds per point, 1 if the study does not vary the seed
    states: list[tuple[str, str, int]]  #: state, its label, number of runs
    measures: list[Metric]  #: metrics that at least one run has

    @property
    def progress(self) -> float:
        shares = [1.0 if row.run.status == Run.Status.FINISHED else row.progress for row in self.outcomes]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def is_active(self) -> bool:
        return any(row.run.status in Run.ACTIVE for row in self.outcomes)

    @property
    def verbs(self) -> tuple[str, ...]:
        """The possible actions: pause, resume, cancel, remove."""
        statuses = {row.run.status for row in self.outcomes}
        status = Run.Status
        verbs = []
        if statuses & {status.QUEUED, status.RUNNING}:
            verbs.append("pause")
        if statuses & set(Run.STOPPED):
            verbs.append("resume")
        if statuses - {status.FINISHED, status.CANCELLED, status.CANCELLING}:
            verbs.append("cancel")
        if not statuses & set(Run.ACTIVE):
            verbs.append("remove")
        return tuple(verbs)

    @property
    def table_measures(self) -> list[Metric]:
        """The columns of the table: the first six. The CSV file has all."""
        return self.measures[:6]


def word(value: Any) -> str:
    """Format a value of an axis."""
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
    """Return a study with all related rows that its page needs.

    Raises :class:`Study.DoesNotExist` if there is none with this key.
    """
    return _with_runs(Study.objects.all()).get(pk=pk)


def view(study: Study) -> StudyView:
    """Return the view model of a loaded study."""
    fields = [axis["field"] for axis in study.axes]
    seed_at = fields.index(SEED) if SEED in fields else None
    outcomes = [_row(place, seed_at) for place in study.places.all()]
    shown = [place for place in range(len(fields)) if place != seed_at]
    counted = Counter(row.run.status for row in outcomes)
    return StudyView(
        study=study,
        fields=[(fields[place], label_of(fields[place]).partition(",")[0]) for place in shown],
        outcomes=outcomes,
        cells=cells(
            outcomes,
            lambda row: ([row.values[place] for place in shown], [row.raw[place] for place in shown]),
            metrics(),
        ),
        seeds=1 if seed_at is None else len(study.axes[seed_at]["values"]),
        states=[(state, str(Run.Status(state).label), counted[state]) for state in STATES if counted[state]],
        measures=[one for one in studied("study") if any(row.measures.get(one.key) is not None for row in outcomes)],
    )


def _row(place: StudyRun, seed_at: int | None) -> StudyRow:
    run = place.run
    stages = stages_of(run)
    current = current_stage(stages)
    trained = [one for one in run.checkpoints.all() if one.number > 0 and one.kind != Checkpoint.Kind.BASE]
    newest = trained[-1] if trained else None
    return StudyRow(
        run=run,
        values=[word(value) for value in place.values],
        raw=list(place.values),
        where=f"{current.get_kind_display()}, {runs.round_of(run, current.iteration)}" if current else "",
        progress=progress(stages),
        checkpoint=newest,
        measures=_values(newest) if newest else {},
        seed=None if seed_at is None else place.values[seed_at],
        seconds=elapsed(run),
    )


def _values(checkpoint: Checkpoint) -> dict[str, Any]:
    values = values_of(checkpoint)
    found: dict[str, Any] = {}
    for metric in metrics():
        found |= {name: values.get(name) for name in (metric.low, metric.high) if name}
        found[metric.key] = metric.value(values)
    return found


def studied(place: Place | None = None) -> list[Metric]:
    """Return the metrics that compare the runs of a study, most relevant first."""
    return sorted(metrics(place), key=lambda metric: _PARTS.get(metric.rows, 2))


def plot(shown: StudyView) -> dict[str, Any]:
    """Return the plot's data: one line per value of the second field, over the first field.

    Each point is the mean over seeds with its interval. A study that varies nothing but the seed is plotted over it.
    """
    if shown.fields:
        points = [(cell.raw, cell.values, cell.measures) for cell in shown.cells]
        axis, x = next(one for one in shown.study.axes if one["field"] == shown.fields[0][0]), shown.fields[0][1]
    else:
        points = [(row.raw, row.values, row.measures) for row in shown.outcomes]
        axis, x = shown.study.axes[0], label_of(SEED).partition(",")[0]
    series: dict[str, list[dict[str, Any]]] = {}
    for raw, words, measures in points:
        label = words[1] if len(words) > 1 else ""
        series.setdefault(label, []).append({"x": raw[0], "word": words[0], "y": measures})
    numbers = list(axis["values"])
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)
    return {
        "x": x,
        "series_of": shown.fields[1][1] if len(shown.fields) > 1 else "",
        "numeric": is_numeric,
        "words": [word(value) for value in numbers],
        "series": [{"label": label, "points": points} for label, points in series.items()],
        "measures": [
            {"key": one.key, "label": one.title, "format": one.format, "low": low, "high": high}
            for one in shown.measures
            for low, high in (bounds_of(one),)
        ],
        "seeds": shown.seeds,
    }


def table(shown: StudyView) -> Iterator[list[Any]]:
    """Yield the CSV rows, header first: one row per run, with the bounds of each interval beside its metric."""
    keys = [name for metric in studied() for name in (metric.key, metric.low, metric.high) if name]
    yield ["run", "name", "status", *(axis["field"] for axis in shown.study.axes), "model", *keys]
    for row in shown.outcomes:
        model = row.checkpoint.name if row.checkpoint else ""
        values = ["" if row.measures.get(key) is None else row.measures[key] for key in keys]
        yield [row.run.pk, row.run.name, row.run.status, *row.raw, model, *values]


def averaged_table(shown: StudyView) -> Iterator[list[Any]]:
    """Yield the CSV rows, header first: one row per point, with mean, bounds, spread and number of seeds per metric."""
    keys = [
        name
        for metric in averaged(studied())
        for name in (metric.key, *bounds_of(metric), f"{metric.key}_spread", f"{metric.key}_seeds")
    ]
    yield [*(name for name, _ in shown.fields), "runs", *keys]
    for cell in shown.cells:
        measures = cell.measures
        values = ["" if measures.get(key) is None else measures[key] for key in keys]
        yield [*cell.raw, len(cell.rows), *values]


def studies_page(number: Any) -> Page[StudyView]:
    """Return a page of studies, newest first."""
    page: Page[Any] = Paginator(_with_runs(Study.objects.all()), PAGE).get_page(number)
    page.object_list = [view(study) for study in page.object_list]
    return page


def measured_by(config: RunConfig) -> list[str]:
    """Return labels of the held-out metrics of a study's runs; empty without any."""
    found = []
    if config.training.held_out_pairs:
        found.append("accuracy and margin on held-out pairs")
    if config.evaluation.enabled and config.evaluation.pairs:
        found.append("accuracy and margin on evaluation pairs")
    if config.evaluation.enabled and config.has_evaluator:
        found.append("scores and win rate on held-out prompts")
    return found


def bases() -> list[Run]:
    """Return the 30 newest runs, as base configs of a study."""
    return list(Run.objects.order_by("-created_at", "-id")[:30])


@dataclass(frozen=True, slots=True)
class StudyCost:
    """The cost of all runs of a study. Values are ``None`` if the model's size is unknown."""

    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    fits: bool
    notes: list[str]


def cost_of(estimates: Sequence[Estimate]) -> StudyCost:
    """Return the sum of time and disk, and the maximum of memory."""
    seconds = [one.seconds for one in estimates]
    memory = [one.memory_bytes for one in estimates]
    disk = [one.disk_bytes for one in estimates]
    known = None not in seconds
    return StudyCost(
        seconds=sum(value for value in seconds if value is not None) if known else None,
        memory_bytes=max(value for value in memory if value is not None) if known else None,
        disk_bytes=sum(value for value in disk if value is not None) if known else None,
        fits=all(one.fits for one in estimates),
        notes=list(dict.fromkeys(note for one in estimates for note in one.notes if not one.fits or not known))[:3],
    )


def repeats(config: RunConfig) -> str:
    """Return a hint on work that all runs of a study repeat, and how to avoid it; empty without any."""
    work = []
    if config.sft.enabled:
        work.append("fine-tunes M1")
    if config.iterations and not config.pairs.from_dataset:
        work.append("builds its pairs")
    if not work:
        return ""
    return (
        f"Each run {' and '.join(work)} again. To do it once, set student.model to the folder of an M1 with "
        "sft.enabled off, and pairs.from_dataset to a data set."
    )
