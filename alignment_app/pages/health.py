"""Judge health on the run page: metrics of each judge, warnings, and links to the rows."""

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
#: Filter of the samples page for the rows behind each metric.
_SHOW: Final[dict[AlarmKind, str]] = {
    "one_score": "alike",
    "follows_length": "longest",
    "changes_mind": "changed",
    "unparsed": "unparsed",
}
_TITLES: Final = {
    "judge": "judge",
    "self-judge": "self-judge",
    "teacher": "teacher",
    "evaluator": "evaluator",
    "comparisons": "comparison judge",
}


@dataclass(frozen=True, slots=True)
class HealthFigure:
    """A health metric of a judge, with the URL of its rows."""

    label: str
    value: str
    url: str
    alarm: Alarm | None


@dataclass(frozen=True, slots=True)
class JudgeHealth:
    """The health metrics of one judge at one stage."""

    where: str
    is_running: bool
    figures: list[HealthFigure]

    @property
    def alarms(self) -> list[HealthFigure]:
        return [figure for figure in self.figures if figure.alarm]


def of_run(run: Run) -> list[JudgeHealth]:
    """Return the health of all judges of a loaded run, newest stage first."""
    return [one for stage in reversed(stages_of(run)) for one in _of_stage(run, stage)]


def _of_stage(run: Run, stage: Stage) -> Iterator[JudgeHealth]:
    figures = stage.figures()
    if not isinstance(figures, HealthData):
        return
    for role, found in figures.health.items():
        crossed = {alarm.kind: alarm for alarm in alarms.alarms(found)}
        rows = _of_orders(found) if isinstance(found, OrderHealth) else _of_scores(found)
        model = f"M{stage.iteration.number + 1}"
        yield JudgeHealth(
            where=f"{stage.get_kind_display()} of {model}, {_TITLES.get(role, role)}",
            is_running=stage.status == Stage.Status.RUNNING,
            figures=[
                HealthFigure(label, value, _rows_of(run, stage, role, kind), crossed.get(kind))
                for kind, label, value in rows
            ],
        )


def _of_scores(found: Health) -> Iterator[tuple[AlarmKind, str, str]]:
    share = found.parsed / found.replies if found.replies else None
    yield (
        "unparsed",
        "parsed replies",
        f"{number(found.parsed)} of {number(found.replies)}, {percent(share, 1)}",
    )
    if found.common_share is not None:
        yield "one_score", "most common score", f"{number(found.common_score)}, {percent(found.common_share, 1)}"
    if found.control is not None:
        bounds = "" if found.control.low is None else f" ({found.control.low:.1f} to {found.control.high:.1f})"
        value = f"{found.control.drop:.1f}{bounds}, {number(len(found.control.rows))} responses"
        yield "one_score", "points less as answers to other prompts", value.replace("-", "−")
    if found.length_rho is not None:
        value = f"{found.length_rho:+.2f} over {number(found.length_prompts)} prompts".replace("-", "−")
        yield "follows_length", "correlation of score and length", value


def _of_orders(found: OrderHealth) -> Iterator[tuple[AlarmKind, str, str]]:
    share = found.n / found.asked if found.asked else None
    yield (
        "unparsed",
        "comparisons with both verdicts",
        f"{number(found.n)} of {number(found.asked)}, {percent(share, 1)}",
    )
    if found.n:
        changed = percent(found.changed / found.n, 1)
        yield "changes_mind", "verdict depends on order", f"{number(found.changed)} of {number(found.n)}, {changed}"


def _rows_of(run: Run, stage: Stage, role: str, kind: AlarmKind) -> str:
    """Return the URL of the rows behind a metric: the samples page, or the judgements page of an evaluation."""
    if role in ("self-judge", "teacher", "evaluator"):
        checkpoint = next((one for one in run.checkpoints.all() if one.number == stage.iteration.number + 1), None)
        if checkpoint is None:
            return ""
        return reverse("checkpoint-judgements", args=[checkpoint.pk]) + ("?only=unparsed" if kind == "unparsed" else "")
    show = "" if role == "comparisons" and kind == "unparsed" else f"&show={_SHOW[kind]}"
    where = f"?iteration={stage.iteration.number}&stage={stage.kind}{show}"
    return reverse("run-samples", args=[run.pk]) + where


@dataclass(frozen=True, slots=True)
class UnparsedReply:
    """A reply without a score, with the reason."""

    instruction: str
    raw: str
    why: str


def unparsed_examples(run: Run, current: Stage | None) -> list[UnparsedReply]:
    """Return the newest unparsed replies of a run that paused because too many replies were unparsed."""
    if run.status != Run.Status.PAUSED or current is None:
        return []
    figures = current.figures()
    if not isinstance(figures, JudgeData) or figures.parse_rate is None or not current.reason:
        return []  # paused by a person, not because of its replies
    judge = in_run(run, "judging.template")
    found = Judgement.objects.filter(iteration=current.iteration_id, score__isnull=True, sample_count__gt=0)
    examples = []
    for judgement in found.select_related("response__prompt").order_by("-pk")[:EXAMPLES]:
        sample = judgement.samples[0]
        why = judge.read(sample["raw"], cut=sample.get("cut", False)).why
        examples.append(UnparsedReply(judgement.response.prompt.text, sample["raw"], why))
    return examples
