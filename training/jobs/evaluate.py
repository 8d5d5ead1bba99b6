"""The job that measures a checkpoint: answers, scores, head-to-head in both orders, and how well the student judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from django.db.models import Avg, Q

from alignment_app.models import Checkpoint, Dataset, Evaluation, IterationPrompt, Judge, Judgement, Response
from alignment_app.selectors import work as selectors
from alignment_app.services import rows
from alignment_app.services.progress import Progress
from training.config import CandidatesConfig
from training.domain import metrics
from training.domain.engine_kinds import ENGINES
from training.domain.rows import ComparisonDraft, Outcome, PromptRow, ResponseRow
from training.jobs import rankings
from training.jobs.health import evaluation_health
from training.jobs.held_out import hold_to_people, missing_judgements, stop_on_drift
from training.jobs.stage_work import CannotGoOn, StageWork
from training.jobs.traffic import WatchedEngine
from training.plan.training import EvaluationResult
from training.stages.evaluation import ComparisonItem, compare_responses

ROLE = IterationPrompt.Role.EVALUATION


def evaluate(job: StageWork) -> EvaluationResult:
    """Everything that the config asks to be measured on the iteration's checkpoint, from rows that can be looked at."""
    checkpoint = selectors.checkpoint(job.run.pk, job.iteration.number + 1)
    against = checkpoint.parent if checkpoint.number > 1 else None
    prompts = _held_out_prompts(job)
    has_teacher = job.config.teacher.kind != "none"
    evaluation = rows.start_evaluation(
        job.attempt,
        checkpoint,
        against=against,
        judge=job.judge_row(None, purpose=Judge.Purpose.COMPARE) if has_teacher else None,
        prompt_count=len(prompts),
    )
    probed = prompts[: job.config.evaluation.self_judge_prompts] if job.config.evaluation.self_judge else []
    done, total = _counts(job, evaluation, prompts, probed, has_teacher, against)
    progress = Progress(job.heartbeat, done=done, total=total)
    job.generate(
        prompts,
        purpose=Response.Purpose.EVALUATION,
        n=1,
        section=job.config.evaluation,
        progress=progress,
        checkpoint=checkpoint,
    )
    answers = job.iteration.responses.filter(purpose=Response.Purpose.EVALUATION)
    if has_teacher:
        job.judge(answers, source=Judgement.Source.TEACHER, checkpoint=None, progress=progress)
        if against:
            _compare(job, evaluation, prompts, progress)
    if probed:
        _probe(job, checkpoint, probed, progress, has_teacher)
    if job.config.evaluation.held_to_people:
        hold_to_people(job, checkpoint, progress)
    rankings.hold_to_rankings(job, checkpoint, progress)
    found = _figures(job, evaluation, answers) | _on_rankings(job, checkpoint)
    rows.save_metrics(job.attempt, evaluation, found)
    if job.config.evaluation.stop_on_drift:
        stop_on_drift(job)
    probes = job.iteration.responses.filter(purpose=Response.Purpose.PROBE)
    return EvaluationResult(metrics=found, health=evaluation_health(job, evaluation, probes))


def _held_out_prompts(job: StageWork) -> list[PromptRow]:
    config = job.config.evaluation
    if not job.iteration.iteration_prompts.filter(role=ROLE).exists():
        dataset = Dataset.objects.get(name=config.dataset)
        rows.use_prompts(job.attempt, job.iteration, selectors.first_prompts(dataset, config.count), ROLE)
    prompts = selectors.iteration_prompts(job.iteration, ROLE)
    if not prompts:
        raise CannotGoOn(f"The data set {config.dataset!r} holds no prompts to evaluate on. Import some, then resume.")
    return prompts


def _counts(
    job: StageWork,
    evaluation: Evaluation,
    prompts: list[PromptRow],
    probed: list[PromptRow],
    has_teacher: bool,
    against: Checkpoint | None,
) -> tuple[int, int]:
    """How many rows of the evaluation are there already, and of how many it consists."""
    probes = len(probed) * probe_sampling(job).n
    total = len(prompts) * (1 + has_teacher + bool(has_teacher and against)) + probes * (2 + has_teacher)
    if job.config.evaluation.held_to_people:
        total += missing_judgements(job, job.iteration.number + 1)
    total += rankings.missing(job, evaluation.checkpoint)
    responses = job.iteration.responses.filter(purpose__in=[Response.Purpose.EVALUATION, Response.Purpose.PROBE])
    judged = Judgement.objects.filter(response__in=responses.values("pk")).count()
    return responses.count() + judged + evaluation.comparisons.count(), total


def probe_sampling(job: StageWork) -> CandidatesConfig:
    """How the responses that the self-judge is measured on are drawn: as candidates are, two or more a prompt."""
    candidates = job.config.candidates
    return candidates if candidates.n > 1 else candidates.model_copy(update={"n": 4})


def _compare(job: StageWork, evaluation: Evaluation, prompts: list[PromptRow], progress: Progress) -> None:
    """This checkpoint's answers against the one before's, asked in both orders."""
    done = set(evaluation.comparisons.values_list("prompt_id", flat=True))
    newer = {row.prompt_id: row for row in _answers(job.iteration.pk)}
    before = job.run.iterations.get(number=job.iteration.number - 1)
    older = {row.prompt_id: row for row in _answers(before.pk)}
    items = [
        ComparisonItem(prompt, newer[prompt.id], older[prompt.id], job.seed("compare", prompt.words))
        for prompt in prompts
        if prompt.id in newer and prompt.id in older and prompt.id not in done
    ]
    if not items:
        return
    drafts: Iterator[ComparisonDraft] = compare_responses(
        items,
        WatchedEngine(job.teacher(), progress),
        job.judge_of("evaluation.judge"),
        job.sampling(job.config.judging),
    )
    progress.save_as_they_come(drafts, lambda batch: rows.save_comparisons(job.attempt, evaluation, batch))


def _answers(iteration_id: int) -> Iterator[ResponseRow]:
    for row in Response.objects.filter(iteration=iteration_id, purpose=Response.Purpose.EVALUATION):
        yield ResponseRow(row.pk, row.prompt_id, row.index, row.text)


def _probe(
    job: StageWork, checkpoint: Checkpoint, prompts: list[PromptRow], progress: Progress, has_teacher: bool
) -> None:
    """Let the student judge its own sampled responses, and the teacher judge the same."""
    section = probe_sampling(job)
    purpose = Response.Purpose.PROBE
    job.generate(prompts, purpose=purpose, n=section.n, section=section, progress=progress, checkpoint=checkpoint)
    probes = job.iteration.responses.filter(purpose=purpose)
    job.judge(probes, source=Judgement.Source.SELF, checkpoint=checkpoint, progress=progress)
    if has_teacher:
        job.judge(probes, source=Judgement.Source.TEACHER, checkpoint=None, progress=progress)


def _figures(job: StageWork, evaluation: Evaluation, answers: Any) -> dict[str, Any]:
    """Every figure from the saved rows; ``None`` where nothing measured it."""
    scores = Judgement.objects.filter(response__in=answers.values("pk"), source=Judgement.Source.TEACHER)
    texts = list(answers.values_list("text", "token_count"))
    found: dict[str, Any] = {
        "mean_score": scores.aggregate(mean=Avg("score"))["mean"],
        "scored": scores.filter(score__isnull=False).count(),
        "response_characters_mean": metrics.mean([len(text) for text, _ in texts]),
        "response_tokens_mean": metrics.mean([count for _, count in texts if count is not None]),
        **_head_to_head(evaluation),
        **_self_judge(job),
    }
    if ENGINES[job.config.teacher.kind].knows_answers:
        found["right_answers"] = scores.filter(score__gte=5).count()
    return found


def _on_rankings(job: StageWork, checkpoint: Checkpoint) -> dict[str, Any]:
    """The figures of the student's judging held to people's rankings, where some are held out."""
    return {f"ranking_{name}": value for name, value in rankings.figures(job, checkpoint).items()}


def _head_to_head(evaluation: Evaluation) -> dict[str, Any]:
    asked = evaluation.comparisons
    unparsed = Q(verdict_first="unparsed") | Q(verdict_second="unparsed")
    # A reply without a verdict prefers nobody: it is counted, and takes no part in the win rate.
    outcomes = list(asked.exclude(unparsed).values_list("outcome", flat=True))
    counts = {"n": len(outcomes), "verdicts_unparsed": asked.filter(unparsed).count()}
    if not outcomes:
        return {"win": None, "tie": None, "lose": None, **counts}
    summary = metrics.head_to_head([cast(Outcome, outcome) for outcome in outcomes])
    return {
        "win": summary.wins,
        "tie": summary.ties,
        "lose": summary.losses,
        **counts,
        "win_rate": summary.win_rate,
        "win_low": summary.low,
        "win_high": summary.high,
        "sign_test_p": summary.p_value,
    }


def _self_judge(job: StageWork) -> dict[str, Any]:
    """Parse rate over all replies; pairwise accuracy against the teacher, over pairs that neither side ties."""
    probes = job.iteration.responses.filter(purpose=Response.Purpose.PROBE)
    judged = Judgement.objects.filter(response__in=probes.values("pk"))
    own = dict(judged.filter(source=Judgement.Source.SELF).values_list("response_id", "score"))
    teachers = dict(judged.filter(source=Judgement.Source.TEACHER).values_list("response_id", "score"))
    groups: dict[int, list[int]] = {}
    for prompt_id, response_id in probes.order_by("prompt_id", "index").values_list("prompt_id", "pk"):
        groups.setdefault(prompt_id, []).append(response_id)
    replies = [sample["score"] for row in judged.filter(source=Judgement.Source.SELF) for sample in row.samples]
    accuracy, pairs = metrics.pairwise_accuracy(
        [[own.get(pk) for pk in group] for group in groups.values()],
        [[teachers.get(pk) for pk in group] for group in groups.values()],
    )
    return {"judge_parse_rate": metrics.parse_rate(replies), "judge_pairwise_accuracy": accuracy, "judge_pairs": pairs}
