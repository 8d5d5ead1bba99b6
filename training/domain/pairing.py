"""Preference pairs from scored responses, or the reason why a prompt makes no pair."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from training.domain.rows import NoPair, PairDraft, PromptOutcome, Refusal, ResponseRow, ScoredResponse
from training.domain.scores import comparable
from training.domain.seeds import derive_seed


def _by_prompt(responses: Iterable[ScoredResponse]) -> dict[int, list[ScoredResponse]]:
    groups: dict[int, list[ScoredResponse]] = defaultdict(list)
    for response in responses:
        groups[response.prompt_id].append(response)
    return {prompt_id: sorted(group, key=lambda row: (row.index, row.id)) for prompt_id, group in groups.items()}


def _score(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def max_min_pairs(responses: Iterable[ScoredResponse], *, min_margin: float = 0.0) -> list[PairDraft | NoPair]:
    """Pair the highest with the lowest scored response of each prompt (Yuan et al., 2024, section 2.3).

    Returns one row per prompt. Equal scores or a margin below ``min_margin`` (in points) make no pair; scores are
    compared by :func:`training.domain.scores.comparable`. Responses without a score are left out. A response that the
    token limit cut is chosen only if all were cut: training on it would teach half an answer. Of equal scores the
    response with the lowest index is used, so the result is deterministic.
    """
    return [_max_min(prompt_id, group, min_margin) for prompt_id, group in _by_prompt(responses).items()]


def _max_min(prompt_id: int, group: Sequence[ScoredResponse], min_margin: float) -> PairDraft | NoPair:
    scored = [(row, row.score) for row in group if row.score is not None]
    unscored = len(group) - len(scored)
    if len(scored) < 2:
        return NoPair(
            prompt_id,
            PromptOutcome.TOO_FEW_SCORES,
            f"{len(scored)} of {len(group)} responses have a score; a pair needs two.",
        )
    ended = [item for item in scored if not item[0].cut] or scored
    chosen, high = max(ended, key=lambda item: comparable(item[1]))
    rejected, low = min(scored, key=lambda item: comparable(item[1]))
    passed_over = sum(comparable(score) > comparable(high) for _, score in scored)
    is_same = comparable(high) == comparable(low)
    if is_same and passed_over:
        reason = "The token limit cut every response with a score above the lowest, so none of them is chosen."
        return NoPair(prompt_id, PromptOutcome.CUT, reason)
    if is_same:
        reason = f"All {len(scored)} scored responses have the same score, {_score(high)}."
        return NoPair(prompt_id, PromptOutcome.SAME_SCORE, reason)
    if chosen.text.strip() == rejected.text.strip():
        reason = "The highest and the lowest scored response have the same text."
        return NoPair(prompt_id, PromptOutcome.SAME_TEXT, reason)
    if comparable(high - low) < comparable(min_margin):
        reason = f"The margin {_score(high - low)} is below the minimum of {_score(min_margin)}."
        return NoPair(prompt_id, PromptOutcome.BELOW_MARGIN, reason)
    reason = f"Highest score {_score(high)} against lowest {_score(low)} of {len(scored)} scored responses"
    reason += f"; {unscored} without a score were left out" if unscored else ""
    reason += f"; {passed_over} with a higher score were cut by the token limit" if passed_over else ""
    reason += "."
    return PairDraft(prompt_id, chosen.id, rejected.id, high, low, high - low, reason)


def random_pairs(
    responses: Iterable[ScoredResponse], *, run_seed: int, min_margin: float = 0.0
) -> list[PairDraft | NoPair]:
    """Return the pairs of :func:`max_min_pairs` in random order, by the seed of run and prompt. Used as a control."""
    rows = max_min_pairs(responses, min_margin=min_margin)
    return [_in_drawn_order(row, run_seed) if isinstance(row, PairDraft) else row for row in rows]


def _in_drawn_order(pair: PairDraft, run_seed: int) -> PairDraft:
    reason = "Control: the order of this pair is random and does not depend on the scores."
    if random.Random(derive_seed(run_seed, "random_pair", pair.prompt_id)).random() < 0.5:
        return PairDraft(
            pair.prompt_id,
            pair.chosen_id,
            pair.rejected_id,
            pair.chosen_score,
            pair.rejected_score,
            pair.margin,
            reason,
        )
    margin = None if pair.margin is None else -pair.margin
    return PairDraft(
        pair.prompt_id, pair.rejected_id, pair.chosen_id, pair.rejected_score, pair.chosen_score, margin, reason
    )


def demonstration_pairs(
    demonstrations: Iterable[ResponseRow], student_responses: Iterable[ResponseRow]
) -> list[PairDraft | NoPair]:
    """Pair the teacher's response (chosen) with the student's first one (rejected) (Luo et al., section 3.3).

    Returns one row per prompt. A demonstration that the token limit cut is chosen only if the student's response was
    cut too.
    """
    teacher = {row.prompt_id: row for row in sorted(demonstrations, key=lambda row: -row.index)}
    student = {row.prompt_id: row for row in sorted(student_responses, key=lambda row: -row.index)}
    rows: list[PairDraft | NoPair] = []
    for prompt_id in dict.fromkeys([*student, *teacher]):
        chosen, rejected = teacher.get(prompt_id), student.get(prompt_id)
        if chosen is None or not chosen.text.strip():
            rows.append(NoPair(prompt_id, PromptOutcome.NO_DEMONSTRATION, "The teacher gave no response."))
        elif rejected is None:
            rows.append(NoPair(prompt_id, PromptOutcome.NO_RESPONSE, "The student gave no response."))
        elif chosen.cut and not rejected.cut:
            rows.append(NoPair(prompt_id, PromptOutcome.CUT, "The token limit cut the teacher's response."))
        elif chosen.text.strip() == rejected.text.strip():
            rows.append(NoPair(prompt_id, PromptOutcome.SAME_TEXT, "Teacher and student gave the same response."))
        else:
            reason = "The teacher's response against the student's."
            rows.append(PairDraft(prompt_id, chosen.id, rejected.id, None, None, None, reason))
    return rows


#: Outcomes of prompts that lack a row; a refusal explains them.
_LACKING: Final = (PromptOutcome.TOO_FEW_SCORES, PromptOutcome.NO_DEMONSTRATION, PromptOutcome.NO_RESPONSE)


def with_left_out(outcomes: Iterable[PairDraft | NoPair], refusals: Mapping[int, Refusal]) -> list[PairDraft | NoPair]:
    """Give prompts without enough rows the reason why a model refused them.

    Args:
        outcomes: one per prompt that has a row.
        refusals: by prompt id, of all prompts for which a row was left out.
    """
    found = list(outcomes)
    reasons = {prompt_id: NoPair(prompt_id, one.code, one.reason) for prompt_id, one in refusals.items()}
    known = {row.prompt_id for row in found}
    return [
        *(reasons.get(row.prompt_id, row) if row.code in _LACKING else row for row in found),
        *(row for prompt_id, row in reasons.items() if prompt_id not in known),
    ]
