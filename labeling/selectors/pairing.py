"""The scores in force of a prompt's responses, the pairing rule of an iteration, and its training set."""

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
    """How an iteration makes pairs from scores. ``follows_scores`` is false if its pairs have another source."""

    follows_scores: bool
    scores: ScoreRule
    min_margin: float
    recorded: bool


def pairing_rule(iteration: Iteration) -> PairingRule:
    """The pairing rule of an iteration, read from its run's config and its stored score rule."""
    config = iteration.run.typed_config
    return PairingRule(
        follows_scores=config.pairs_follow_scores,
        scores=scores.rule_of(iteration),
        min_margin=config.pairs.min_margin,
        recorded=config.uses_recorded_responses,
    )


def candidates_of(iteration: Iteration, rule: PairingRule, prompt_id: int | None = None) -> QuerySet[Response]:
    """Candidate responses of an iteration, or of one of its prompts only."""
    responses = work.candidates(iteration, recorded=rule.recorded)
    return responses if prompt_id is None else responses.filter(prompt=prompt_id)


def scored_responses(
    iteration: Iteration,
    prompt_id: int,
    rule: PairingRule,
    *,
    with_people: bool = True,
    supposed: Mapping[int, float | None] | None = None,
) -> list[ScoredResponse]:
    """The candidates of one prompt with their scores in force, or with the judge's scores if not ``with_people``.

    ``supposed``: scores by response id that replace the stored human scores.
    """
    responses = candidates_of(iteration, rule, prompt_id)
    return scores.scored(responses, rule.scores, with_people=with_people, supposed=supposed)


def pair_draft(pair: PreferencePair) -> PairDraft:
    """The values of a stored pair."""
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
    """Counts of an iteration's training set. ``set_aside``: a sentence on pairs that the freeze will leave out."""

    pairs: int
    overridden: int
    frozen: bool
    set_aside: str = ""


def training_set(iteration: Iteration) -> TrainingSet:
    """Count the pairs that the iteration would train on now."""
    training = iteration.run.typed_config.training
    mixes, held_out, most = training.mix_previous, training.held_out_pairs, training.most_pairs(iteration.number)
    frozen = DatasetSnapshot.objects.filter(iteration=iteration, kind=DatasetSnapshot.Kind.PREFERENCE).exists()
    if mixes or (frozen and (held_out or most)):
        rows = work.training_pairs(iteration.run_id, iteration.number, mix_previous=mixes)
    else:
        # No pair of the iteration is left out, so an index alone gives the same count.
        rows = PreferencePair.objects.filter(iteration=iteration, state__in=PreferencePair.TRAINABLE)
    counts = dict(rows.order_by().values_list("state").annotate(n=Count("*")))
    aside = [f"holds out {held_out:,} of them"] if held_out else []
    aside += [f"trains on at most {most:,}"] if most else []
    words = f"The freeze {' and '.join(aside)}. " if aside and not frozen else ""
    return TrainingSet(sum(counts.values()), counts.get(PreferencePair.State.OVERRIDDEN, 0), frozen, words)


def judgements_of(response_ids: list[int], iteration: Iteration | None) -> dict[int, list[Judgement]]:
    """Judgements of model judges by response id, oldest first: those of the iteration and imported ones."""
    judgements = (
        Judgement.objects.filter(response__in=response_ids)
        .exclude(source__in=[Judgement.Source.HUMAN, Judgement.Source.REFERENCE])
        .filter(Q(iteration=iteration) | Q(iteration__isnull=True) if iteration else Q())
        .select_related("judge")
        .order_by("pk")
    )
    grouped: dict[int, list[Judgement]] = {pk: [] for pk in response_ids}
    for judgement in judgements:
        grouped[judgement.response_id].append(judgement)
    return grouped
