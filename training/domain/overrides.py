"""What a person's decision makes of a preference pair, before and after it is saved: the same functions say both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from training.domain.pairing import max_min_pairs
from training.domain.rows import NoPair, PairDraft, PromptOutcome, ScoredResponse

PairDecision = Literal["confirm", "flip", "tie", "both_bad", "edit"]
ChangeKind = Literal["same", "confirms", "flips", "drops", "appears", "changes"]
PairOutcome = PairDraft | NoPair


@dataclass(frozen=True, slots=True)
class PairChange:
    """What a decision changes. ``delta`` is the change in the number of pairs: -1, 0 or 1.

    ``note``: how it goes with other decisions on the same pair; it is the end of the sentence, too.
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
    """The pair after a decision on it. ``scores``: the person's own of the chosen and the rejected response.

    A flip turns scores and margin round with it. An edit puts the person's own response, which has no score, in the
    place of the chosen one. Raises :class:`ValueError` for an edit without its response.
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
    """The max-min pair of one prompt's responses; ``None`` without responses."""
    found = max_min_pairs(responses, min_margin=min_margin)
    return found[0] if found else None


def change_between(before: PairOutcome, after: PairOutcome, *, confirmed: bool = False) -> PairChange:
    """The change from one outcome to another, with a sentence for the screen."""
    if isinstance(before, NoPair) and isinstance(after, NoPair):
        return PairChange("same", "There was no pair, and there will be none.", 0, before, after)
    if isinstance(before, NoPair):
        assert isinstance(after, PairDraft)
        return PairChange("appears", f"A pair appears{_with(after)}.", 1, before, after)
    if isinstance(after, NoPair):
        return PairChange("drops", f"The pair drops out. {after.reason}", -1, before, after)
    if (before.chosen_id, before.rejected_id) == (after.chosen_id, after.rejected_id):
        if confirmed:
            return PairChange("confirms", f"The pair stays as it is, confirmed{_with(after)}.", 0, before, after)
        if before.margin == after.margin:
            return PairChange("same", "Nothing changes.", 0, before, after)
        instead = f"The same pair{_with(after)} instead of {_points(before.margin)}."
        return PairChange("same", instead, 0, before, after)
    if (before.chosen_id, before.rejected_id) == (after.rejected_id, after.chosen_id):
        return PairChange("flips", f"The pair flips.{_ahead(before.margin, after.margin)}", 0, before, after)
    if before.rejected_id == after.rejected_id:
        return PairChange("changes", f"Another response is chosen{_with(after)}.", 0, before, after)
    if before.chosen_id == after.chosen_id:
        return PairChange("changes", f"Another response is rejected{_with(after)}.", 0, before, after)
    return PairChange("changes", f"The pair is made of other responses{_with(after)}.", 0, before, after)


def _ahead(before: float | None, after: float | None) -> str:
    """Which of the two the scores have ahead, where a pair flips. Its own scores turn round with it."""
    was = ""
    if before:
        one = "the other one" if before > 0 else "this one"
        was = f" The judge had {one} ahead by {_points(abs(before))}."
    if after is None or after <= 0 or (before is not None and after == -before):
        return was
    return f"{was} People's scores have this one ahead by {_points(after)}."


def _with(pair: PairDraft) -> str:
    return "" if pair.margin is None else f", with a margin of {_points(pair.margin)}"


def _points(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")
