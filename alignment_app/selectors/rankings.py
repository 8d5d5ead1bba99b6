"""Held-out ranked responses, on which a judge's ranking agreement is measured. None of them is used for training."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import F, QuerySet

from alignment_app.models import Checkpoint, Iteration, Judge, Judgement, Prompt, Response
from alignment_app.selectors.work import iteration_prompts, rank_of, ranked_responses
from training.config import RunConfig
from training.domain.eft import split_prompts
from training.domain.ranking import ranking_agreement

ROWS_A_PAGE = 20


def held_out(start: Iteration, config: RunConfig, *, most: int) -> QuerySet[Response]:
    """Return the responses to the first ``most`` held-out ranked prompts of iteration 0.

    Prompts are included whether or not the model that built the judging rows agreed with the human ranking; otherwise
    that model would be correct by construction.
    """
    used = iteration_prompts(start)
    hashes = dict(Prompt.objects.filter(pk__in=[row.id for row in used]).values_list("pk", "content_hash"))
    _, aside = split_prompts(list(hashes.values()), run_seed=config.seed, eval_share=config.eft.eval_share)
    chosen = [row.id for row in used if hashes[row.id] in aside][:most]
    return ranked_responses(start).filter(prompt__in=chosen)


@dataclass(frozen=True, slots=True)
class RankedResponse:
    """A response with its human rank and the judge's score."""

    response: Response
    rank: float | None
    own: Judgement


@dataclass(frozen=True, slots=True)
class RankedPrompt:
    """A held-out prompt, its responses by human rank; ``right`` of ``pairs`` are in the same order."""

    prompt: Prompt
    responses: list[RankedResponse]
    right: float
    pairs: int


def judged_by(checkpoint: Checkpoint) -> QuerySet[Judgement]:
    """Return a checkpoint's judgements of ranked responses."""
    return Judgement.objects.filter(
        judge__checkpoint=checkpoint, judge__purpose=Judge.Purpose.RANKED, source=Judgement.Source.SELF
    )


def page(checkpoint: Checkpoint, only: str, number: str | int | None) -> Page[RankedPrompt]:
    """Return a checkpoint's ranking agreement by prompt; ``only``: "unparsed" or empty (all)."""
    judged = judged_by(checkpoint)
    about = judged.filter(parsed_count__lt=F("sample_count")) if only == "unparsed" else judged
    prompts = Prompt.objects.filter(pk__in=about.values("response__prompt")).order_by("position", "pk")
    found: Page[Any] = Paginator(prompts, ROWS_A_PAGE).get_page(number)
    shown = list(found.object_list)
    rows: dict[int, list[RankedResponse]] = defaultdict(list)
    for judgement in judged.filter(response__prompt__in=shown).select_related("response__prompt"):
        response = judgement.response
        rows[response.prompt_id].append(RankedResponse(response, rank_of(response), judgement))
    found.object_list = [_prompt(prompt, rows[prompt.pk]) for prompt in shown]
    return found


def _prompt(prompt: Prompt, rows: list[RankedResponse]) -> RankedPrompt:
    rows.sort(key=lambda row: (row.rank is None, row.rank, row.response.index))
    agreement = ranking_agreement([[(row.own.score, row.rank) for row in rows if row.rank is not None]])
    return RankedPrompt(prompt, rows, (agreement.accuracy or 0) * agreement.pairs, agreement.pairs)
