"""Effective scores of an iteration's responses, by the score rule stored with the iteration."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Q, QuerySet

from alignment_app.models import Iteration, Judgement, Response
from training.domain.rows import ScoredResponse
from training.domain.score_rule import GivenScore, ScoreRule, in_force


def rule_of(iteration: Iteration) -> ScoreRule:
    """Return the score rule of an iteration."""
    return ScoreRule.from_data(iteration.score_rule)


def by_judge(rule: ScoreRule) -> Q:
    """Filter for judgements by the rule's judge."""
    judge = Q(iteration__isnull=True) if rule.judge is None else Q(judge=rule.judge)
    return Q(source=rule.source) & judge


def judgements(responses: QuerySet[Response], rule: ScoreRule) -> QuerySet[Judgement]:
    """Return the judgements of these responses by the rule's judge."""
    return Judgement.objects.filter(by_judge(rule), response__in=responses.values("pk"))


def scored(
    responses: QuerySet[Response],
    rule: ScoreRule,
    *,
    with_people: bool = True,
    supposed: Mapping[int, float | None] | None = None,
) -> list[ScoredResponse]:
    """Return responses with their effective score, by prompt and index.

    ``with_people`` false: ignore human scores. ``supposed``: hypothetical human scores by response.
    """
    supposed = supposed or {}
    found = Judgement.objects.filter(
        by_judge(rule) | Q(source=Judgement.Source.HUMAN), response__in=responses.values("pk")
    )
    given = [
        GivenScore(response, score, source == Judgement.Source.HUMAN)
        for response, source, score in found.order_by("pk").values_list("response_id", "source", "score")
    ]
    if not with_people:
        given = [one for one in given if not one.by_people]
    given = [one for one in given if not (one.by_people and one.response_id in supposed)]
    given += [GivenScore(response, score, by_people=True) for response, score in supposed.items()]
    scores = in_force(rule, given)
    return [
        ScoredResponse(row.pk, row.prompt_id, row.index, row.text, scores.get(row.pk), row.was_cut)
        for row in responses.order_by("prompt_id", "index")
    ]
