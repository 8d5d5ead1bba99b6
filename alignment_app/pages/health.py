"""What the run page says of a run's judges: their figures, the lines they crossed, and where to look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.urls import reverse

from alignment_app.models import Judgement, Run, Stage
from alignment_app.pages.wording import number, percent
from alignment_app.selectors.judges import in_run
from alignment_app.selectors.runs import stages_of
from training.domain import alarms
from training.domain.alarms import Alarm, AlarmKind, Health, OrderHealth
from training.plan.spec import HealthData, JudgeData

EXAMPLES: Final = 3
#: Which rows a figure is about: the filter of the page of samples.
_SHOW: Final[dict[AlarmKind, str]] = {
    "one_score": "alike",
    "follows_length": "longest",
    "changes_mind": "changed",
    "unparsed": "unparsed",
}
_TITLES: Final = {"judge": "judge", "self-judge": "self-judge", "teacher": "teacher", "comparisons": "who compares"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a judge with the rows behind it."""

    label: str
    value: str
    url: str
    alarm: Alarm | None


@dataclass(frozen=True, slots=True)
class JudgeHealth:
    """One judge at one stage."""

    where: str
    is_running: bool
    figures: list[Figure]

    @property
    def alarms(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.alarm]


def of_run(run: Run) -> list[JudgeHealth]:
    """Every judge of a loaded run that has given replies, the newest stage first."""
    return [one for stage in reversed(stages_of(run)) for one in _of_stage(run, stage)]


def _of_stage(run: Run, stage: Stage) -> Iterator[JudgeHealth]:
    figures = stage.figures()
    if not isinstance(figures, HealthData):
        return
    for role, data in figures.health.items():
        found = alarms.from_data(data)
        crossed = {alarm.kind: alarm for alarm in alarms.alarms(found)}
        rows = _of_orders(found) if isinstance(found, OrderHealth) else _of_scores(found)
        model = f"M{stage.iteration.number + 1}"
        yield JudgeHealth(
            where=f"{stage.get_kind_display()} of {model}, {_TITLES.get(role, role)}",
            is_running=stage.status == Stage.Status.RUNNING,
            figures=[
                Figure(label, value, _rows_of(run, stage, role, kind), crossed.get(kind)) for kind, label, value in rows
            ],
        )


def _of_scores(found: Health) -> Iterator[tuple[AlarmKind, str, str]]:
    share = found.parsed / found.replies if found.replies else None
    yield (
        "unparsed",
        "replies that held a score",
        f"{number(found.parsed)} of {number(found.replies)}, {percent(share, 1)}",
    )
    if found.common_share is not None:
        yield "one_score", "the most common score", f"{number(found.common_score)} in {percent(found.common_share, 1)}"
    if found.length_rho is not None:
        value = f"{found.length_rho:+.2f} over {number(found.length_prompts)} prompts".replace("-", "−")
        yield "follows_length", "correlation of score and length", value


def _of_orders(found: OrderHealth) -> Iterator[tuple[AlarmKind, str, str]]:
    share = found.n / found.asked if found.asked else None
    yield (
        "unparsed",
        "comparisons with two verdicts",
        f"{number(found.n)} of {number(found.asked)}, {percent(share, 1)}",
    )
    if found.n:
        changed = percent(found.changed / found.n, 1)
        yield "changes_mind", "changed with the order", f"{number(found.changed)} of {number(found.n)}, {changed}"


def _rows_of(run: Run, stage: Stage, role: str, kind: AlarmKind) -> str:
    """The page with the rows of a figure; the judgements of an evaluation have a page of their own."""
    if role in ("self-judge", "teacher"):
        checkpoint = next((one for one in run.checkpoints.all() if one.number == stage.iteration.number + 1), None)
        if checkpoint is None:
            return ""
        return reverse("checkpoint-judgements", args=[checkpoint.pk]) + ("?only=unparsed" if kind == "unparsed" else "")
    show = "" if role == "comparisons" and kind == "unparsed" else f"&show={_SHOW[kind]}"
    where = f"?iteration={stage.iteration.number}&stage={stage.kind}{show}"
    return reverse("run-samples", args=[run.pk]) + where


@dataclass(frozen=True, slots=True)
class UnparsedReply:
    """A reply that held no score, and why."""

    instruction: str
    raw: str
    why: str


def unparsed_examples(run: Run, current: Stage | None) -> list[UnparsedReply]:
    """Some of the newest unparsed replies of a run that was paused because there were too many."""
    if run.status != Run.Status.PAUSED or current is None:
        return []
    figures = current.figures()
    if not isinstance(figures, JudgeData) or figures.parse_rate is None or not current.reason:
        return []  # paused by somebody, not for its replies
    judge = in_run(run, "judging.template")
    found = Judgement.objects.filter(iteration=current.iteration_id, score__isnull=True, sample_count__gt=0)
    examples = []
    for judgement in found.select_related("response__prompt").order_by("-pk")[:EXAMPLES]:
        raw = judgement.samples[0]["raw"]
        examples.append(UnparsedReply(judgement.response.prompt.text, raw, judge.read(raw).why))
    return examples
