"""Effect of a person's decision on a preference pair. The preview and the saved result use the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from training.domain.pairing import max_min_pairs
from training.domain.rows import NoPair, PairDraft, PromptOutcome, ScoredResponse
from training.domain.scores import comparable

PairDecision = Literal["confirm", "flip", "tie", "both_bad", "edit"]
ChangeKind = Literal["same", "confirms", "flips", "drops", "appears", "changes"]
PairOutcome = PairDraft | NoPair


@dataclass(frozen=True, slots=True)
class PairChange:
    """The effect of a decision. ``delta`` is the change in the number of pairs: -1, 0 or 1.

    ``note`` explains the interaction with other decisions on the same pair; ``sentence`` ends with it.
    """

    kind: ChangeKind
    sentence: str
    delta: int
    before: PairOutcome
    after: PairOutcome
    note: str = ""


def decided_pair(
    pair: PairDraft,
    decision: PairDecision,
    *,
    edited_id: int | None = None,
    scores: tuple[float, float] | None = None,
) -> PairOutcome:
    """Return the pair after a decision.

    Args:
        edited_id: for "edit", the id of the person's response. It replaces the chosen one and has no score.
        scores: the person's scores of the chosen and the rejected response, before the decision.

    "flip" swaps the responses with their scores. Raises :class:`ValueError` for an edit without ``edited_id``.
    """
    if scores is not None:
        pair = replace(pair, chosen_score=scores[0], rejected_score=scores[1], margin=scores[0] - scores[1])
    if decision == "confirm":
        return pair
    if decision == "flip":
        margin = None if pair.margin is None else -pair.margin
        return replace(
            pair,
            chosen_id=pair.rejected_id,
            rejected_id=pair.chosen_id,
            chosen_score=pair.rejected_score,
            rejected_score=pair.chosen_score,
            margin=margin,
        )
    if decision == "edit":
        if edited_id is None:
            raise ValueError("an edit needs the response that the person wrote")
        return replace(pair, chosen_id=edited_id, chosen_score=None, margin=None)
    if decision == "tie":
        return NoPair(pair.prompt_id, PromptOutcome.TIE, "People call it a tie.")
    return NoPair(pair.prompt_id, PromptOutcome.BOTH_BAD, "People call both bad.")


def scored_pair(responses: Sequence[ScoredResponse], *, min_margin: float = 0.0) -> PairOutcome | None:
    """Return the max-min pair of one prompt's responses; ``None`` without responses."""
    outcomes = max_min_pairs(responses, min_margin=min_margin)
    return outcomes[0] if outcomes else None


def change_between(before: PairOutcome, after: PairOutcome, *, confirmed: bool = False) -> PairChange:
    """Describe the change from one outcome to another."""
    if isinstance(before, NoPair) and isinstance(after, NoPair):
        return PairChange("same", "The prompt still makes no pair.", 0, before, after)
    if isinstance(before, NoPair):
        assert isinstance(after, PairDraft)
        return PairChange("appears", f"A pair is added{_with(after)}.", 1, before, after)
    if isinstance(after, NoPair):
        return PairChange("drops", f"The pair is removed. {after.reason}", -1, before, after)
    if (before.chosen_id, before.rejected_id) == (after.chosen_id, after.rejected_id):
        if confirmed:
            return PairChange("confirms", f"The pair is confirmed{_with(after)}.", 0, before, after)
        if _same(before.margin, after.margin):
            return PairChange("same", "Nothing changes.", 0, before, after)
        sentence = f"The same pair{_with(after)} instead of {_points(before.margin)}."
        return PairChange("same", sentence, 0, before, after)
    if (before.chosen_id, before.rejected_id) == (after.rejected_id, after.chosen_id):
        return PairChange("flips", f"The pair is flipped.{_scores_note(before.margin, after.margin)}", 0, before, after)
    if before.rejected_id == after.rejected_id:
        return PairChange("changes", f"Another response is chosen{_with(after)}.", 0, before, after)
    if before.chosen_id == after.chosen_id:
        return PairChange("changes", f"Another response is rejected{_with(after)}.", 0, before, after)
    return PairChange("changes", f"The pair has two other responses{_with(after)}.", 0, before, after)


def _scores_note(before: float | None, after: float | None) -> str:
    """Say which response of a flipped pair the judge, and people, scored higher."""
    note = ""
    if before and comparable(before):
        preferred = "the other response" if before > 0 else "this response"
        note = f" The judge scored {preferred} higher by {_points(abs(before))}."
    if after is None or comparable(after) <= 0 or (before is not None and _same(after, -before)):
        return note
    return f"{note} People scored this response higher by {_points(after)}."


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return comparable(one) == comparable(other)


def _with(pair: PairDraft) -> str:
    return "" if pair.margin is None else f", with a margin of {_points(pair.margin)}"


def _points(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")
