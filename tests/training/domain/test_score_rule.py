"""The rule for the score in force."""

from __future__ import annotations

import pytest

from training.domain.score_rule import GivenScore, ScoreRule, in_force

RULE = ScoreRule("self", judge=3)


@pytest.mark.parametrize(
    ("judge", "people", "expected"),
    [
        ([2.0], [], 2.0),
        ([2.0], [5.0], 5.0),
        ([], [5.0, 1.0], 1.0),
        ([None], [], None),
        ([4.0], [None], None),
        ([1.0, 3.0], [], 3.0),
    ],
)
def test_the_newest_score_by_people_counts_before_the_newest_by_the_judge(
    judge: list[float | None], people: list[float | None], expected: float | None
) -> None:
    given = [GivenScore(7, score, by_people=True) for score in people] + [GivenScore(7, score) for score in judge]
    assert in_force(RULE, given) == {7: expected}


def test_a_response_that_nobody_scored_has_no_score_in_force() -> None:
    assert in_force(RULE, []) == {}


def test_a_rule_survives_storage() -> None:
    assert ScoreRule.from_data(RULE.as_data()) == RULE
    assert RULE.as_data() == {"source": "self", "judge": 3, "pick": "people_first"}
