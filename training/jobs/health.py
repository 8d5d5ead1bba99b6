"""Health metrics of a judge, computed from saved rows, with a logged warning per alarm."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from django.db.models import QuerySet
from django.db.models.functions import Length

from alignment_app.models import Checkpoint, Evaluation, Judgement, Stage, StageAttempt
from alignment_app.services import events
from alignment_app.services.progress import Progress
from training.config import ModelRole
from training.domain import alarms
from training.domain.alarms import Health, OrderHealth
from training.domain.rows import JudgementDraft, Verdict
from training.jobs.judge_control import controlled
from training.jobs.stage_work import Halt, StageWork


class JudgementProgress(Progress):
    """Progress that counts scores in the judge's replies, and halts the run if too few contain one."""

    def __init__(
        self,
        job: StageWork,
        made: QuerySet[Judgement],
        *,
        done: int,
        total: int,
        expected: int,
        overlapping_stage: Stage | None = None,
    ) -> None:
        """``expected`` is the total number of replies."""
        self.job, self.expected = job, expected
        samples = made.values_list("samples", flat=True)
        self.scores: Counter[float | None] = Counter()
        self.cut = 0  #: replies that ended at the token limit
        for row in samples.iterator(chunk_size=2000):
            self.scores.update(sample["score"] for sample in row)
            self.cut += sum(sample.get("cut", False) for sample in row)
        super().__init__(job.heartbeat, done=done, total=total, overlapping_stage=overlapping_stage)

    def publish(self) -> None:
        replies, unparsed = self.scores.total(), self.scores[None]
        self.figures = {"parse_rate": (replies - unparsed) / replies if replies else None, "unparsed": unparsed}
        if replies:
            self.figures["health"] = {"judge": alarms.health(self.scores.elements())}
        super().publish()

    def saved(self, drafts: list[JudgementDraft]) -> None:
        """Count the new replies."""
        self.scores.update(sample.score for draft in drafts for sample in draft.samples)
        self.cut += sum(sample.cut for draft in drafts for sample in draft.samples)

    def after_save(self) -> None:
        """Raise :class:`Halt` if the parse rate is below ``judging.min_parse_rate``."""
        config = self.job.config.judging
        replies = self.scores.total()
        parsed = replies - self.scores[None]
        if replies < min(config.min_replies, self.expected):
            return
        if parsed < config.min_parse_rate * replies:
            share, minimum = 100 * parsed / replies, 100 * config.min_parse_rate
            remedy = (
                f"{self.cut} replies were cut at the limit of {config.max_new_tokens} tokens: clone the run with a "
                "larger judging.max_new_tokens."
                if 2 * self.cut >= self.scores[None]
                else "This judge does not follow the judge prompt. Look at its raw replies under Samples; then "
                "fine-tune it on EFT rows, or clone the run with a teacher as judge."
            )
            raise Halt(
                StageAttempt.Reason.PARSE_RATE,
                f"Only {parsed} of the judge's {replies} replies contained a score ({share:.0f} %; the "
                f"minimum is {minimum:.0f} %). {remedy}",
            )


def health_of(judgements: QuerySet[Judgement]) -> Health:
    """Return the health of one judge, over single replies; length is compared with the response's mean score."""
    rows = judgements.annotate(length=Length("response__text")).values_list(
        "response__prompt_id", "score", "length", "samples"
    )
    replies: list[float | None] = []
    groups: dict[int, list[tuple[float | None, int]]] = {}
    for prompt_id, score, length, samples in rows.order_by("pk").iterator(chunk_size=2000):
        replies += [sample["score"] for sample in samples]
        groups.setdefault(prompt_id, []).append((score, length))
    return alarms.health(replies, groups.values())


def order_health_of(evaluation: Evaluation) -> OrderHealth:
    """Return the health of the judge that compared answers in both orders."""
    verdicts = evaluation.comparisons.values_list("verdict_first", "verdict_second")
    return alarms.order_health((cast(Verdict, one), cast(Verdict, other)) for one, other in verdicts)


def record_health(job: StageWork, figures: dict[str, Health | OrderHealth]) -> dict[str, Health | OrderHealth]:
    """Log every alarm, and return the health as a stage stores it, by the judge's role."""
    for role, health in figures.items():
        if isinstance(health, Health) and health.control is not None and health.control.discriminates:
            events.log(
                job.run.pk,
                f"{job.stage.get_kind_display()}, {role}: {health.common_share or 0:.0%} of the scores are "
                f"{health.common_score:g}. The judge does discriminate: the same responses as answers to other prompts "
                f"score {health.control.drop:.1f} points less.",
            )
        for alarm in alarms.alarms(health):
            events.log(job.run.pk, f"{job.stage.get_kind_display()}, {role}: {alarm.text}", "warning")
    return figures


def evaluation_health(job: StageWork, evaluation: Evaluation, probes: QuerySet[Any]) -> dict[str, Health | OrderHealth]:
    """Record the health of an evaluation's judges: student and evaluator on the same responses, and the comparer."""
    figures: dict[str, Health | OrderHealth] = {}
    verifies = job.config.model_of(job.config.evaluator_role).entry.verifies
    judged = Judgement.objects.filter(response__in=probes.values("pk"))
    judges: tuple[tuple[str, str, Checkpoint | None], ...] = (
        ("self-judge", Judgement.Source.SELF, evaluation.checkpoint),
        ("teacher", Judgement.Source.TEACHER, None),
        ("evaluator", Judgement.Source.REFERENCE, None),
    )
    for role, source, checkpoint in judges:
        made = judged.filter(source=source)
        health = health_of(made)
        if health.replies and not (verifies and source != Judgement.Source.SELF):
            model: ModelRole = "teacher" if checkpoint else job.config.evaluator_role
            figures[role] = controlled(job, health, made, checkpoint=checkpoint, role=model)
    if evaluation.comparisons.exists() and not verifies:
        figures["comparisons"] = order_health_of(evaluation)
    return record_health(job, figures)
