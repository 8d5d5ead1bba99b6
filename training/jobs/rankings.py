"""Judge responses that people ranked, and select those that are held out of the EFT rows."""

from __future__ import annotations

from collections import defaultdict

from django.db.models import QuerySet

from alignment_app.models import Checkpoint, Iteration, Judge, Judgement, Response
from alignment_app.selectors import rankings as selectors
from alignment_app.selectors import work
from alignment_app.services.progress import Progress
from training.domain.ranking import RankAgreement, Ranked, ranking_agreement
from training.domain.rows import LeftOut
from training.engines.base import Engine
from training.jobs.stage_work import StageWork
from training.jobs.traffic import WatchedEngine
from training.stages.judgements import JudgeItem, judge_responses

IFT = "IFT"  # the model fine-tuned on IFT rows only, before it learns to judge


def seeds(job: StageWork, words: str, index: int) -> tuple[int, ...]:
    """Return the seeds of the ``eft.k`` replies per ranked response."""
    return tuple(job.seed("judge ranked", words, index, draw) for draw in range(job.config.eft.k))


def judge_ranked(
    job: StageWork,
    responses: QuerySet[Response],
    engine: Engine,
    *,
    judge: Judge,
    progress: Progress,
) -> None:
    """Save the missing judgements of these ranked responses, with ``eft.k`` replies each.

    A response whose judging prompt the model refuses is left out.
    """
    form, source = job.judge_of("judging.template"), Judgement.Source.SELF
    todo = work.unjudged(responses, source=source, judge=judge)
    items = [JudgeItem(response, prompt, seeds(job, prompt.words, response.index)) for response, prompt in todo]
    prompt_of = {response.id: prompt.id for response, prompt in todo}

    left_out: list[LeftOut] = []
    sampling = job.sampling(job.config.judging)
    drafts = judge_responses(items, WatchedEngine(engine, progress), form, sampling, left_out=left_out.append)
    job.save_judgements(drafts, prompt_of, source=source, judge=judge, progress=progress)
    job.leave_out(left_out, total=responses.count())


def held_out(job: StageWork) -> QuerySet[Response]:
    """Return the held-out ranked responses; empty if the run builds no EFT rows from rankings."""
    if not (job.config.eft.enabled and job.config.evaluation.self_judge):
        return Response.objects.none()
    start = Iteration.objects.get(run=job.run, number=0)
    return selectors.held_out(start, job.config, most=job.config.evaluation.self_judge_prompts)


def judge_of(job: StageWork, checkpoint: Checkpoint) -> Judge:
    """Return the judge row of a checkpoint for ranked responses, which use their own judge prompt."""
    return job.judge_row(checkpoint, purpose=Judge.Purpose.RANKED)


def ift_judge(job: StageWork) -> Judge:
    """Return the judge row of the model that was fine-tuned on IFT rows only."""
    return job.judge_row(None, purpose=Judge.Purpose.RANKED, name=IFT)


def figures_before(job: StageWork) -> RankAgreement | None:
    """Return the ranking agreement of the model before EFT on held-out responses; ``None`` if none is held out."""
    before = ranked(held_out(job), ift_judge(job))
    return ranking_agreement(before.values()) if before else None


def ranked(responses: QuerySet[Response], judge: Judge) -> dict[int, Ranked]:
    """Return the judge's scores and people's ranks of the judged responses, by prompt id."""
    judged = Judgement.objects.filter(response__in=responses.values("pk"), source=Judgement.Source.SELF, judge=judge)
    scores_and_ranks: dict[int, list[tuple[float | None, float]]] = defaultdict(list)
    for judgement in judged.select_related("response__prompt").order_by("response__prompt_id", "response__index"):
        rank = work.rank_of(judgement.response)
        if rank is not None:
            scores_and_ranks[judgement.response.prompt_id].append((judgement.score, rank))
    return dict(scores_and_ranks)
