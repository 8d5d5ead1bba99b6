"""What people see first: the items that they are most likely to change."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from training.domain.calibration import calibrate
from training.domain.impact import JudgedResponse, closeness, disagreement, pair_impact, score_impact
from training.domain.pairing import max_min_pairs
from training.domain.rows import PairDraft, ScoredResponse


def test_close_scores_and_unsteady_judges_come_first() -> None:
    assert closeness(0.0) == 1.0
    assert closeness(0.5) > closeness(2.0) > closeness(4.0)
    assert closeness(2.0, spread=2.0) > closeness(2.0, spread=0.1)
    assert closeness(None) == 1.0


def test_a_second_judge_that_sees_it_the_other_way_round_comes_before_one_that_agrees() -> None:
    against = pair_impact(JudgedResponse(4.0, other=1.0), JudgedResponse(2.0, other=4.0))
    for_it = pair_impact(JudgedResponse(4.0, other=4.0), JudgedResponse(2.0, other=1.0))
    assert against > 0.8 > 0.2 > for_it
    assert disagreement(JudgedResponse(4.0), JudgedResponse(2.0)) is None


def test_a_pair_whose_choice_was_nearly_arbitrary_comes_before_a_clear_one() -> None:
    pair = JudgedResponse(4.0), JudgedResponse(2.0)
    assert pair_impact(*pair, [JudgedResponse(4.0)]) > pair_impact(*pair, [JudgedResponse(None)])


def test_an_unparsed_response_and_one_at_the_edge_come_before_one_in_the_middle() -> None:
    group = [JudgedResponse(score) for score in (0.0, 2.5, 5.0)]
    assert score_impact(JudgedResponse(None), group) == 1.0
    assert score_impact(group[2], group) > score_impact(group[1], group)


def test_every_figure_is_between_nothing_and_one() -> None:
    draw = random.Random(1)

    def some() -> JudgedResponse:
        return JudgedResponse(*(draw.choice([None, draw.uniform(0, 5)]) for _ in range(3)))

    for _ in range(500):
        group = [some() for _ in range(4)]
        assert 0 <= pair_impact(group[0], group[1], group[2:]) <= 1
        assert 0 <= score_impact(group[0], group) <= 1


def _score(value: Any) -> float | None:
    return None if value is None or value < 0 else float(value)


def test_the_wrong_pairs_of_a_real_judge_come_at_least_one_and_a_half_times_as_early(real_data: Path) -> None:
    """The student M1 judged, Gemini is the other judge, and gpt's scores stand in for people."""
    rows = [json.loads(line) for line in (real_data / "eft_scores_200.jsonl").open(encoding="utf-8")]
    items: list[tuple[float, bool]] = []
    for number, row in enumerate(rows):
        found = row["responses"]
        scored = [
            ScoredResponse(place, number, place, one["text"], _score(one["scores"]["M1"]))
            for place, one in enumerate(found)
        ]
        (pair,) = max_min_pairs(scored)
        if not isinstance(pair, PairDraft):
            continue
        judged = [JudgedResponse(row.score, None, _score(found[row.id]["scores"]["gemini"])) for row in scored]
        said = [_score(found[place]["scores"]["gpt"]) for place in (pair.chosen_id, pair.rejected_id)]
        if said[0] is None or said[1] is None:
            continue
        others = [judged[place] for place in range(len(judged)) if place not in (pair.chosen_id, pair.rejected_id)]
        items.append((pair_impact(judged[pair.chosen_id], judged[pair.rejected_id], others), said[0] < said[1]))
    wrong = sum(is_wrong for _, is_wrong in items)
    first_fifth = sorted(items, key=lambda item: -item[0])[: len(items) // 5]
    assert sum(is_wrong for _, is_wrong in first_fifth) / wrong >= 1.5 * 0.2


def test_a_judge_that_says_what_people_say_is_calibrated_and_one_that_adds_a_point_is_off_by_it() -> None:
    people = [[0.0, 2.0, 4.0], [1.0, 3.0, 4.0], [0.0, 1.0, 3.0]] * 5
    true = calibrate([[(score, score) for score in prompt] for prompt in people])
    assert (true.mean_error.value, true.kappa.value, true.pairwise.value) == (0.0, 1.0, 1.0)
    kind = calibrate([[(score + 1, score) for score in prompt] for prompt in people])
    assert kind.mean_error.value == pytest.approx(1.0)
    assert kind.pairwise.value == 1.0
    assert kind.spearman.value == pytest.approx(1.0)
    assert calibrate([]).mean_error.value is None
