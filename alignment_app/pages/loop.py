"""View models of the run page: head, loop of stages per iteration, metrics per model, and failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alignment_app.models import Checkpoint, Evaluation, Iteration, Run, RunEvent, Stage, StageAttempt
from alignment_app.pages import health, runs, wording
from alignment_app.pages.figures import Figure, figure_of
from alignment_app.pages.figures import figures as metric_figures
from alignment_app.pages.time_left import TimeLeft, stage_seconds_left, time_left
from alignment_app.pages.wording import NB, number, percent, rate
from alignment_app.selectors.queues import place_in_queue
from alignment_app.selectors.runs import current_stage, elapsed, share_done, stages_of
from training.config import RunConfig
from training.domain.metric import Metric
from training.evaluation.registry import metrics
from training.plan.gathering import JudgementsResult
from training.plan.spec import FinishedStage, JudgeData, LiveStageData

#: Log lines in the first rendering of the page.
LOG_LINES = 200


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage of the loop."""

    stage: Stage
    label: str
    look: str  #: done, now, next, wait, ask, bad
    share: float  #: of its work, 0 to 100
    count: str  #: "7,560 of 12,000"
    note: str  #: "38/s, 2 min left", or a summary of the result
    traffic: str  #: while it generates or judges: "4,440 to go, 64 in flight, 1,400 tokens/s"
    has_samples: bool
    refreshes: str  #: page parts that change while it runs


@dataclass(frozen=True, slots=True)
class HeadToHeadShares:
    """Win, tie and lose shares (0 to 1) of a model against the previous one, and its win rate with 95 % interval."""

    newer: str
    older: str
    win: float
    tie: float
    lose: float
    n: int
    rate: float | None  #: a tie counts as half a win
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class IterationView:
    """An iteration of the loop."""

    iteration: Iteration
    title: str
    models: str
    seconds: float | None
    is_now: bool
    stages: list[StageView]
    outcome: HeadToHeadShares | None
    facts: list[str]
    gaps: range = range(0)  #: empty columns after its last stage


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a run stopped, and the next step."""

    title: str
    reason: str
    stage: Stage | None
    attempt: StageAttempt | None
    next_step: str


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the run page."""

    run: Run
    state: str
    model: str
    facts: list[str]
    left: TimeLeft | None
    seconds: float | None
    place: int
    verbs: tuple[str, ...]  #: possible actions: pause, resume, cancel, remove
    failure: Failure | None
    current: Stage | None  #: the running stage, or the next one
    unparsed: list[health.UnparsedReply]  #: examples, if the run paused because too few replies were parsed
    waiting: Iteration | None  #: the iteration that waits for review
    stale: list[Iteration]  #: iterations whose training set is stale
    last_seq: int


@dataclass(frozen=True, slots=True)
class ModelTable:
    """Metrics per model: ``rows`` are (metric, one cell per model); a cell is its text and its figure, if measured."""

    models: list[str]
    rows: list[tuple[str, list[tuple[str, Figure | None]]]] = field(default_factory=list)
    evaluator: str = ""  #: the model that judged the evaluations


def head(run: Run) -> Head:
    """Return the head of a loaded run."""
    stages = stages_of(run)
    current = current_stage(stages)
    left = time_left(run, stages) if run.status == Run.Status.RUNNING else None
    return Head(
        run=run,
        state=state_sentence(run, current),
        model=run.typed_config.student.model,
        facts=recipe_facts(run.typed_config),
        left=left,
        seconds=elapsed(run),
        place=place_in_queue(current) if current and run.status == Run.Status.QUEUED else 0,
        verbs=verbs(run),
        failure=failure(run, current),
        current=current,
        unparsed=health.unparsed_examples(run, current),
        waiting=current.iteration if current and current.status == Stage.Status.WAITING else None,
        stale=[each for each in run.iterations.all() if hasattr(each, "snapshot") and each.snapshot.stale_reason],
        last_seq=run.last_seq,
    )


def state_sentence(run: Run, current: Stage | None) -> str:
    """Return the run's state and its position in the loop, such as "Running: pairs, iteration 1 of 2"."""
    label = run.get_status_display()
    if current is None or run.status in (Run.Status.FINISHED, Run.Status.CANCELLED):
        return label
    if run.pause_requested and run.status in (Run.Status.RUNNING, Run.Status.QUEUED):
        label = "Pausing"
    where = f"{current.get_kind_display().lower()} of {models_of(current.iteration)[1]}"
    if run.status == Run.Status.RUNNING:
        where = f"{current.get_kind_display().lower()}, {runs.round_of(run, current.iteration)}"
    return f"{label}: {where}"


def recipe_facts(config: RunConfig) -> list[str]:
    """Return paradigm, teacher, loss with weights, and reference as short texts."""
    facts = [runs.preferences_of(config)]
    if config.teacher.exists:
        facts.append(f"teacher {runs.short_model(config.teacher.label)}")
    if config.evaluator_role == "evaluator" and config.evaluation.enabled and config.has_evaluator:
        facts.append(f"evaluator {runs.short_model(config.evaluator.label)}")
    training = config.training
    if training.is_positive_only:
        return [*facts, runs.training_name(training)]
    weights = f"β{NB}{training.beta:g}"
    if training.refines:
        lam = training.lam if training.lam == "auto" else f"{training.lam:g}"
        weights = f"λ{NB}{lam}, {weights}"
    facts.append(f"{runs.training_name(training)} with {weights}")
    reference = {"previous": "previous checkpoint", "m1": "M1", "base": "M0"}.get(
        training.reference, training.reference
    )
    facts.append(f"reference {reference}")
    return facts


def verbs(run: Run) -> tuple[str, ...]:
    """Return the actions that are possible in the run's state."""
    status = Run.Status
    if run.pause_requested and run.status in (status.QUEUED, status.RUNNING):
        return ("resume", "cancel")
    if run.status in (status.QUEUED, status.RUNNING):
        return ("pause", "cancel")
    if run.status == status.WAITING:
        return ("cancel",)
    if run.status in (status.PAUSED, status.FAILED, status.CRASHED):
        return ("resume", "cancel")
    if run.status == status.CANCELLED:
        return ("resume", "remove")
    return ("remove",) if run.status == status.FINISHED else ()


def failure(run: Run, current: Stage | None) -> Failure | None:
    """Return the failure of a failed or crashed run, else ``None``."""
    if run.status not in (Run.Status.FAILED, Run.Status.CRASHED):
        return None
    attempt = current.attempts.order_by("-number").first() if current else None
    reason = (current.reason if current else "") or (attempt.reason if attempt else "") or run.status_reason
    where = f"{current.get_kind_display()} of {models_of(current.iteration)[1]}" if current else "The run"
    if run.status == Run.Status.CRASHED:
        return Failure(
            f"{where} crashed", reason, current, attempt,
            "Resume continues with the missing rows.",
        )  # fmt: skip
    return Failure(
        f"{where} failed", reason, current, attempt,
        "Fix the cause, then resume: only missing rows are computed. To change a setting, clone the run.",
    )  # fmt: skip


def models_of(iteration: Iteration) -> tuple[str, str]:
    """Return the names of an iteration's input and output model, such as ``("M1", "M2")``."""
    return f"M{iteration.number}", f"M{iteration.number + 1}"


def lines(run: Run) -> list[IterationView]:
    """Return the iterations of a loaded run."""
    current = current_stage(stages_of(run))
    made = {checkpoint.number: checkpoint for checkpoint in run.checkpoints.all()}
    found = [_line(run, iteration, current, made) for iteration in run.iterations.all()]
    width = max(len(line.stages) for line in found)
    return [replace(line, gaps=range(width - len(line.stages))) for line in found]


def _line(run: Run, iteration: Iteration, current: Stage | None, made: dict[int, Checkpoint]) -> IterationView:
    older, newer = models_of(iteration)
    checkpoint = made.get(iteration.number + 1)
    measured: Evaluation | None = getattr(checkpoint, "evaluation", None) if checkpoint else None
    stages = list(iteration.stages.all())
    for stage in stages:
        stage.iteration = iteration
    started = [stage.started_at for stage in stages if stage.started_at]
    ended = [stage.finished_at for stage in stages if stage.finished_at]
    is_active = run.status in (*Run.ACTIVE, Run.Status.WAITING)
    is_over = all(stage.status in (Stage.Status.DONE, Stage.Status.SKIPPED) for stage in stages)
    return IterationView(
        iteration=iteration,
        title="Start" if iteration.number == 0 else f"Iteration {iteration.number}",
        models=f"{older} → {newer}",
        seconds=(max(ended) - min(started)).total_seconds() if is_over and started and ended else None,
        is_now=is_active and current is not None and current.iteration == iteration,
        stages=[stage_view(run, stage, checkpoint) for stage in stages if stage.status != Stage.Status.SKIPPED],
        outcome=outcome(measured, newer, older) if measured else None,
        facts=_facts(stages, measured),
    )


_LOOKS = {
    Stage.Status.DONE: "done",
    Stage.Status.RUNNING: "now",
    Stage.Status.QUEUED: "next",
    Stage.Status.WAITING: "ask",
    Stage.Status.PENDING: "wait",
    Stage.Status.SKIPPED: "off",
    Stage.Status.STOPPED: "ask",
}


def _look(run: Run, stage: Stage) -> str:
    if stage.status == Stage.Status.STOPPED and run.status in (Run.Status.FAILED, Run.Status.CRASHED):
        return "bad"
    return _LOOKS[Stage.Status(stage.status)]


def stage_view(run: Run, stage: Stage, checkpoint: Checkpoint | None) -> StageView:
    """Return a stage with its texts."""
    status = Stage.Status
    count, note = "", ""
    if stage.status == status.DONE:
        count, note = _summary(stage, checkpoint)
    elif stage.status in (status.RUNNING, status.STOPPED, status.QUEUED, status.PENDING) and (
        stage.total or stage.done
    ):
        count = f"{number(stage.done)} of {number(stage.total)}" if stage.total else number(stage.done)
        if stage.status == status.RUNNING:
            note = ", ".join(filter(None, (rate(stage.rate), wording.time_left(stage_seconds_left(stage)))))
        elif stage.status == status.STOPPED:
            note = run.get_status_display().lower()
        elif stage.status == status.QUEUED:
            note = "queued"
        elif stage.rate:  # a remote teacher overlaps with an earlier stage
            note = f"in parallel, {rate(stage.rate)}"
    elif stage.status == status.QUEUED:
        count = "queued"
    elif stage.status == status.RUNNING:
        count = "starting"
    elif stage.status == status.WAITING:
        count, note = f"{number(stage.total)} pairs", "waiting for review"
    elif stage.status == status.STOPPED:
        count = run.get_status_display().lower()
    return StageView(
        stage=stage,
        label=stage.get_kind_display(),
        look=_look(run, stage),
        share=100 * share_done(stage),
        count=count,
        note=note,
        traffic=_traffic(stage)
        if stage.status == status.RUNNING or (stage.status == status.PENDING and stage.rate)
        else "",
        has_samples=bool(stage.spec.samples) and (stage.done > 0 or stage.status in (status.DONE, status.WAITING)),
        refreshes=" ".join(stage.spec.refreshes),
    )


def _traffic(stage: Stage) -> str:
    """Return missing rows, requests in flight and tokens per second while an engine is running, else ""."""
    live = LiveStageData.read(stage.progress)
    speed = live.tokens_per_second
    if speed is None or stage.done >= stage.total:
        return ""
    parts = [f"{number(stage.total - stage.done)}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}go"]
    if live.in_flight:
        parts.append(f"{number(live.in_flight)}\N{NO-BREAK SPACE}in\N{NO-BREAK SPACE}flight")
    if speed >= 1:
        parts.append(f"{number(round(speed))}\N{NO-BREAK SPACE}tokens/s")
    return ", ".join(parts)


class SummaryWords:
    """Formatting for summaries of finished stages; see :class:`training.plan.spec.Words`."""

    number = staticmethod(wording.number)
    percent = staticmethod(wording.percent)
    short_hash = staticmethod(wording.short_hash)

    @staticmethod
    def headline(values: Mapping[str, Any]) -> str:
        """Return the first metric of an evaluation with its value."""
        reached = metric_figures(metrics("lineage"), values)
        return reached[0].line if reached else ""


def _summary(stage: Stage, checkpoint: Checkpoint | None) -> tuple[str, str]:
    """Return count and note of a finished stage."""
    spec = stage.spec
    finished = FinishedStage(stage.done, checkpoint.name if checkpoint else "")
    return spec.summary(spec.result.read(stage.result), finished, SummaryWords())


def outcome(measured: Evaluation, newer: str, older: str) -> HeadToHeadShares | None:
    """Return win, tie and lose shares, or ``None`` without comparisons."""
    values = measured.metrics
    counts = [values.get(name) for name in ("win", "tie", "lose")]
    compared = values.get("n") or sum(count or 0 for count in counts)
    if any(count is None for count in counts) or not compared:
        return None
    win, tie, lose = ((count or 0) / compared for count in counts)
    against = measured.against.name if measured.against else older
    rate_, low, high = (values.get(name) for name in ("win_rate", "win_low", "win_high"))
    return HeadToHeadShares(newer, against, win, tie, lose, compared, rate_, low, high)


def _facts(stages: list[Stage], measured: Evaluation | None) -> list[str]:
    """Return judge metrics of an iteration: of its evaluation, else of its judgements."""
    if measured is not None:
        return [
            f"{one.metric.label} {one.text}" + (f" ({one.interval})" if one.interval else "")
            for one in metric_figures(metrics("loop"), measured.metrics)
        ]
    judging = next((stage.figures() for stage in stages if stage.done and isinstance(stage.figures(), JudgeData)), None)
    if not isinstance(judging, JudgeData) or judging.parse_rate is None:
        return []
    found = [f"judge {percent(judging.parse_rate, 1)} parsed"]
    if isinstance(judging, JudgementsResult) and judging.mean is not None:
        found.append(f"mean {number(judging.mean, 2)}")
    if isinstance(judging, JudgementsResult) and judging.spread is not None:
        found.append(f"spread {number(judging.spread, 2)}")
    return found


def figures(run: Run) -> ModelTable | None:
    """Return the metrics of M1, M2, … of a loaded run, or ``None`` before the first evaluation."""
    measured = {
        checkpoint.number: checkpoint.evaluation
        for checkpoint in run.checkpoints.all()
        if hasattr(checkpoint, "evaluation")
    }
    if not measured:
        return None
    columns = list(range(min(measured), run.typed_config.iterations + 2))
    names = dict.fromkeys(one.judge.name for one in measured.values() if one.judge)
    table = ModelTable([f"M{column}" for column in columns], evaluator=", ".join(names))
    for metric in metrics("models"):
        cells = [_cell(metric, measured.get(column)) for column in columns]
        if any(figure is not None for _, figure in cells):
            table.rows.append((metric.title, cells))
    return table


def _cell(metric: Metric, evaluation: Evaluation | None) -> tuple[str, Figure | None]:
    if evaluation is None:
        return "…", None
    figure = figure_of(metric, evaluation.metrics)
    return (wording.MISSING, None) if figure.value is None else (figure.text, figure)


def log_lines(run: Run) -> list[RunEvent]:
    """Return the log lines up to the run's ``last_seq``, newest first."""
    kinds = (RunEvent.Kind.LOG, RunEvent.Kind.RUN)
    return list(RunEvent.objects.filter(run=run, kind__in=kinds, seq__lte=run.last_seq).order_by("-seq")[:LOG_LINES])


def machine_metrics(run: Run) -> dict[str, Any] | None:
    """Return the newest machine metrics of a run, or ``None``."""
    event = RunEvent.objects.filter(run=run, kind=RunEvent.Kind.GAUGE).order_by("-seq").first()
    return event.payload if event else None
