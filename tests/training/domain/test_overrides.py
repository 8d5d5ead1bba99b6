"""Effect of a person's decision on a pair."""

from __future__ import annotations

import pytest

from training.domain.differences import differences
from training.domain.overrides import change_between, decided_pair, scored_pair
from training.domain.rows import NoPair, PairDraft, ScoredResponse

PAIR = PairDraft(7, 1, 2, 4.0, 2.5, 1.5, "Highest against lowest.")


def scored(*scores: float | None) -> list[ScoredResponse]:
    return [ScoredResponse(pk, 7, pk, f"text {pk}", score) for pk, score in enumerate(scores)]


def test_two_flips_give_the_original_pair() -> None:
    flipped = decided_pair(PAIR, "flip")
    assert isinstance(flipped, PairDraft)
    assert (flipped.chosen_id, flipped.chosen_score, flipped.margin) == (2, 2.5, -1.5)
    assert decided_pair(flipped, "flip") == PAIR


@pytest.mark.parametrize(
    ("decision", "kind", "delta"),
    [("confirm", "confirms", 0), ("flip", "flips", 0), ("tie", "drops", -1), ("both_bad", "drops", -1)],
)
def test_each_decision_has_a_kind_and_a_change_in_pairs(decision: str, kind: str, delta: int) -> None:
    after = decided_pair(PAIR, decision)  # type: ignore[arg-type]
    change = change_between(PAIR, after, confirmed=decision == "confirm")
    assert (change.kind, change.delta) == (kind, delta)
    assert change.sentence.endswith(".")


def test_an_edit_replaces_the_chosen_response() -> None:
    after = decided_pair(PAIR, "edit", edited_id=9)
    assert isinstance(after, PairDraft)
    assert (after.chosen_id, after.rejected_id, after.margin) == (9, 2, None)
    assert change_between(PAIR, after).kind == "changes"
    with pytest.raises(ValueError, match="needs the response"):
        decided_pair(PAIR, "edit")


def test_a_score_can_add_remove_and_change_a_pair() -> None:
    before = scored_pair(scored(3.0, 4.0, 2.5))
    assert before is not None
    changed = scored_pair(scored(5.0, 4.0, 2.5))
    assert isinstance(changed, PairDraft)
    assert (changed.chosen_id, changed.margin) == (0, 2.5)
    level = scored_pair(scored(3.0, 3.0, 3.0))
    assert isinstance(level, NoPair)
    assert change_between(before, level).kind == "drops"
    assert change_between(level, before).kind == "appears"
    assert change_between(level, level).kind == "same"
    assert scored_pair([]) is None


def test_an_unparsed_response_is_ranked_after_a_person_scored_it() -> None:
    without, with_score = scored_pair(scored(3.0, 4.0, None)), scored_pair(scored(3.0, 4.0, 0.0))
    assert isinstance(without, PairDraft)
    assert isinstance(with_score, PairDraft)
    assert (without.rejected_id, with_score.rejected_id) == (0, 2)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Water it weekly.", "Water it daily."),
        ("", "something"),
        ("a b c", "a b c"),
        ("x" * 50 + " y", "y"),
        ("מים כל שבוע", "מים כל יום"),
        ("line\n" * 3000, "line\n" * 2999 + "other"),
    ],
)
def test_joined_segments_are_the_original_texts(left: str, right: str) -> None:
    one, other = differences(left, right)
    assert "".join(run for run, _ in one) == left
    assert "".join(run for run, _ in other) == right
    assert any(differs for _, differs in [*one, *other]) == (left != right)


def test_only_the_different_word_is_marked() -> None:
    one, _ = differences("Water it weekly, in shade.", "Water it daily, in shade.")
    assert [run for run, differs in one if differs] == ["weekly"]
