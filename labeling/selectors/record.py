"""What the record says about the responses of an item: scores in force, the pairing rule, the training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from alignment_app.models import DatasetSnapshot, Iteration, Judgement, PreferencePair, Response
from alignment_app.selectors import scores, work
from training.domain.rows import PairDraft, ScoredResponse
from training.domain.score_rule import ScoreRule


@dataclass(frozen=True, slots=True)
class PairingRule:
    """How an iteration makes pairs of scores; ``follows_scores`` false: its pairs come from elsewhere."""

    follows_scores: bool
    scores: ScoreRule
    min_margin: float
    recorded: bool


def pairing_rule(iteration: Iteration) -> PairingRule:
    """The rule of an iteration, and what its run's config says of pairs."""
    config = iteration.run.typed_config
    return PairingRule(
        follows_scores=config.pairs_follow_scores,
        scores=scores.rule_of(iteration),
        min_margin=config.pairs.min_margin,
        recorded=config.uses_recorded_responses,
    )


def candidates_of(iteration: Iteration, rule: PairingRule, prompt_id: int | None = None) -> QuerySet[Response]:
    """Candidate responses of an iteration, or of one of its prompts."""
    found = work.candidates(iteration, recorded=rule.recorded)
    return found if prompt_id is None else found.filter(prompt=prompt_id)


def scored_responses(
    iteration: Iteration,
    prompt_id: int,
    rule: PairingRule,
    *,
    with_people: bool = True,
    supposed: Mapping[int, float | None] | None = None,
) -> list[ScoredResponse]:
    """One prompt's candidates with the score in force, or as the judge alone has them.

    ``supposed``: by response, a score that stands in for people's.
    """
    responses = candidates_of(iteration, rule, prompt_id)
    return scores.scored(responses, rule.scores, with_people=with_people, supposed=supposed)


def pair_draft(pair: PreferencePair) -> PairDraft:
    """A pair of the record as a frozen row."""
    return PairDraft(
        pair.prompt_id,
        pair.chosen_id,
        pair.rejected_id,
        pair.chosen_score,
        pair.rejected_score,
        pair.margin,
        pair.reason,
    )


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Counts of an iteration's next training set. ``set_aside``: what the freeze will still take from it, in words."""

    pairs: int
    overridden: int
    frozen: bool
    set_aside: str = ""


def training_set(iteration: Iteration) -> TrainingSet:
    """How many pairs the iteration would train on now."""
    training = iteration.run.typed_config.training
    mixes, held_out, most = training.mix_previous, training.held_out_pairs, training.max_pairs
    frozen = DatasetSnapshot.objects.filter(iteration=iteration, kind=DatasetSnapshot.Kind.PREFERENCE).exists()
    if mixes or (frozen and (held_out or most)):
        rows = work.training_pairs(iteration.run_id, iteration.number, mix_previous=mixes)
    else:
        # The same, counted by an index alone: nothing of the iteration is set aside.
        rows = PreferencePair.objects.filter(iteration=iteration, state__in=PreferencePair.TRAINABLE)
    counts = dict(rows.order_by().values_list("state").annotate(n=Count("*")))
    aside = [f"holds out {held_out:,} of them"] if held_out else []
    aside += [f"trains on at most {most:,}"] if most else []
    words = f"The freeze {' and '.join(aside)}. " if aside and not frozen else ""
    return TrainingSet(sum(counts.values()), counts.get(PreferencePair.State.OVERRIDDEN, 0), frozen, words)


def judgements_of(response_ids: list[int], iteration: Iteration | None) -> dict[int, list[Judgement]]:
    """Judgements by model judges on these responses: the iteration's own and recorded ones, newest last."""
    found = (
        Judgement.objects.filter(response__in=response_ids)
        .exclude(source__in=[Judgement.Source.HUMAN, Judgement.Source.REFERENCE])
        .filter(Q(iteration=iteration) | Q(iteration__isnull=True) if iteration else Q())
        .select_related("judge")
        .order_by("pk")
    )
    grouped: dict[int, list[Judgement]] = {pk: [] for pk in response_ids}
    for judgement in found:
        grouped[judgement.response_id].append(judgement)
    return grouped
