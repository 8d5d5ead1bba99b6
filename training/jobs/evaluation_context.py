"""The evaluation context that measures work with, on top of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from django.db.models import QuerySet

from alignment_app import human_feedback
from alignment_app.models import Checkpoint, Evaluation, Judgement, Prompt, Response
from alignment_app.selectors import leakage
from alignment_app.selectors import work as selectors
from alignment_app.services import rows
from alignment_app.services.progress import Progress
from training.config import ModelRole, RunConfig
from training.domain.leakage import EvaluationText, Leakage, TrainingText
from training.domain.ranking import Ranked
from training.domain.rows import ComparisonItem, ComparisonOutcome, LeftOut, PromptRow, ResponseRow, Verdict
from training.evaluation.measure import Answer, Compared, Judged, JudgeRef, JudgeSource, Responses
from training.jobs import rankings
from training.jobs.stage_work import StageWork


class DatabaseContext:
    """The :class:`training.evaluation.measure.EvaluationContext` of one evaluation stage."""

    def __init__(
        self, job: StageWork, checkpoint: Checkpoint, evaluation: Evaluation, prompts: Sequence[PromptRow]
    ) -> None:
        self.job, self.evaluated, self.evaluation, self.prompts = job, checkpoint, evaluation, prompts
        self._progress: Progress | None = None

    @property
    def progress(self) -> Progress:
        """Counter of saved rows. :meth:`begin` must be called first."""
        assert self._progress is not None
        return self._progress

    def begin(self, done: int, total: int) -> None:
        """Start counting saved rows at ``done`` of ``total``, and publish the count."""
        self._progress = Progress(self.job.heartbeat, done=done, total=total)

    @property
    def config(self) -> RunConfig:
        return self.job.config

    @property
    def has_previous(self) -> bool:
        return self.evaluation.against_id is not None

    @property
    def checkpoint(self) -> JudgeRef:
        return JudgeRef("self", self.evaluated.number)

    @property
    def self_judges(self) -> Sequence[JudgeRef]:
        made = self.job.run.checkpoints.filter(number__gte=1, number__lte=self.evaluated.number).order_by("-number")
        return [JudgeRef("self", number) for number in made.values_list("number", flat=True)]

    def generate(self, prompts: Sequence[PromptRow], *, purpose: str, n: int, sampling: Any) -> None:
        self.job.generate(
            list(prompts), purpose=purpose, n=n, section=sampling, progress=self.progress, checkpoint=self.evaluated
        )

    def responses(self, purpose: str) -> QuerySet[Response]:
        return self.job.iteration.responses.filter(purpose=purpose)

    def previous_responses(self, purpose: str) -> QuerySet[Response]:
        before = self.job.run.iterations.get(number=self.job.iteration.number - 1)
        return before.responses.filter(purpose=purpose)

    def evaluation_texts(self) -> Sequence[EvaluationText]:
        return leakage.evaluation_texts(Prompt.objects.filter(pk__in=[prompt.id for prompt in self.prompts]))

    def training_texts(self) -> Iterator[TrainingText]:
        return leakage.training_texts(self.evaluated)

    def leakage(self) -> Leakage | None:
        return None if self.evaluation.leakage is None else Leakage.from_data(self.evaluation.leakage)

    def save_leakage(self, found: Leakage) -> None:
        rows.save_leakage(self.job.attempt, self.evaluation, found)

    def scored_blind(self) -> QuerySet[Response]:
        return human_feedback.provider().blind_responses(self.job.run)

    def judge(self, responses: Responses, judge: JudgeRef, *, required: bool = True) -> None:
        self.job.judge(
            _rows(responses),
            source=self._stored(judge.source),
            checkpoint=self._checkpoint(judge),
            progress=self.progress,
            role=self._role(judge.source),
            required=required,
        )

    def unjudged(self, responses: Responses, judge: JudgeRef) -> int:
        row = self.job.judge_row(self._checkpoint(judge), role=self._role(judge.source))
        return len(selectors.unjudged(_rows(responses), source=self._stored(judge.source), judge=row))

    def _role(self, source: JudgeSource) -> ModelRole:
        return self.config.evaluator_role if source == "evaluator" else "teacher"

    def _stored(self, source: JudgeSource) -> str:
        """Return the source of the judgements. An evaluator of its own is an outside reference: it never trains."""
        if source == "evaluator":
            own = self.config.evaluator_role == "evaluator"
            return Judgement.Source.REFERENCE if own else Judgement.Source.TEACHER
        return source

    def _checkpoint(self, judge: JudgeRef) -> Checkpoint | None:
        if judge.checkpoint is None:
            return None
        return self.job.run.checkpoints.get(number=judge.checkpoint)

    def answers(self, responses: Responses) -> Sequence[Answer]:
        saved = _rows(responses).order_by("prompt_id", "index")
        return [Answer(row.pk, row.prompt_id, row.text, row.token_count) for row in saved]

    def judgements(self, responses: Responses, source: JudgeSource) -> Sequence[Judged]:
        saved = self._judgements(responses, source).values_list("response_id", "score", "samples")
        return [Judged(pk, score, [sample["score"] for sample in samples]) for pk, score, samples in saved]

    def _judgements(self, responses: Responses, source: JudgeSource) -> QuerySet[Judgement]:
        return Judgement.objects.filter(response__in=_rows(responses).values("pk"), source=self._stored(source))

    def current_answers(self) -> Mapping[int, ResponseRow]:
        return {row.prompt_id: row for row in _answers(self.job.iteration.pk)}

    def previous_answers(self) -> Mapping[int, ResponseRow]:
        before = self.job.run.iterations.get(number=self.job.iteration.number - 1)
        return {row.prompt_id: row for row in _answers(before.pk)}

    def compare(self, pairs: Sequence[tuple[PromptRow, ResponseRow, ResponseRow]]) -> None:
        items = [
            ComparisonItem(prompt, newer, older, self.job.seed("compare", prompt.words))
            for prompt, newer, older in pairs
        ]
        if not items:
            return
        left_out: list[LeftOut] = []
        drafts = self.job.compare(items, self.config.evaluator_role, self.progress, left_out=left_out.append)
        self.progress.save_in_batches(
            drafts, lambda batch: rows.save_comparisons(self.job.attempt, self.evaluation, batch)
        )
        self.job.leave_out(left_out, total=len(items) + len(self.compared_prompts()))

    def compared(self) -> Sequence[Compared]:
        saved = self.evaluation.comparisons.values_list("verdict_first", "verdict_second", "outcome")
        return [
            Compared(cast(Verdict, first), cast(Verdict, second), cast(ComparisonOutcome, outcome))
            for first, second, outcome in saved
        ]

    def compared_prompts(self) -> set[int]:
        return set(self.evaluation.comparisons.values_list("prompt_id", flat=True))

    def judge_rankings(self) -> None:
        responses, judge = rankings.held_out(self.job), rankings.judge_of(self.job, self.evaluated)
        if selectors.unjudged(responses, source=Judgement.Source.SELF, judge=judge):
            engine = self.job.student(self.evaluated)
            rankings.judge_ranked(self.job, responses, engine, judge=judge, progress=self.progress)

    def unjudged_rankings(self) -> int:
        responses = rankings.held_out(self.job)
        return len(
            selectors.unjudged(
                responses, source=Judgement.Source.SELF, judge=rankings.judge_of(self.job, self.evaluated)
            )
        )

    def rankings(self, *, before: bool) -> Mapping[int, Ranked]:
        responses = rankings.held_out(self.job)
        if not responses.exists():
            return {}
        judge = rankings.ift_judge(self.job) if before else rankings.judge_of(self.job, self.evaluated)
        return rankings.ranked(responses, judge)


def _rows(responses: Responses) -> QuerySet[Response]:
    """Return the queryset behind a response set that this context created."""
    assert isinstance(responses, QuerySet)
    return responses


def _answers(iteration_id: int) -> Iterator[ResponseRow]:
    for row in Response.objects.filter(iteration=iteration_id, purpose=Response.Purpose.EVALUATION):
        yield ResponseRow(row.pk, row.prompt_id, row.index, row.text)
