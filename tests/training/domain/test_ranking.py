"""Ranking agreement: values computed by hand and from published judgements, and undefined values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.domain.intervals import wilson_interval
from training.domain.ranking import RankAgreement, Ranked, accuracy_change, ranking_agreement

#: Right throughout; two of three pairs right; a tie and an unparsed reply; people tie two.
PROMPTS: list[Ranked] = [
    [(5, 1), (3, 2), (1, 3)],
    [(4, 1), (5, 2), (2, 3)],
    [(3, 1), (3, 2), (None, 3)],
    [(5, 1), (4, 1), (1, 2)],
]


def test_the_statistics_equal_values_computed_by_hand() -> None:
    found = ranking_agreement(PROMPTS)
    assert (found.prompts, found.responses, found.scored, found.pairs) == (4, 12, 11, 3 + 3 + 1 + 2)
    assert found.accuracy == pytest.approx((3 + 2 + 0.5 + 2) / 9)
    assert found.untied_accuracy == pytest.approx((3 + 2 + 2) / 8)
    assert found.exact == pytest.approx(1 / 3)  # one prompt is incomplete, one has ties
    assert (found.five_best, found.fives) == (pytest.approx(2 / 3), 3)
    assert found.spearman == pytest.approx((1 + 0.5 + 3**0.5 / 2) / 3)
    assert found.kendall == pytest.approx((1 + 1 / 3 + (2 / 3) ** 0.5) / 3)
    assert found.accuracy_low is not None
    assert found.accuracy_high is not None
    assert found.accuracy_low <= found.accuracy <= found.accuracy_high


def test_unparsed_scores_are_undefined_and_constant_scores_give_one_half() -> None:
    silent = ranking_agreement([[(None, 1), (None, 2)]])
    assert (silent.pairs, silent.accuracy, silent.exact, silent.spearman, silent.five_best) == (
        0,
        None,
        None,
        None,
        None,
    )
    same = ranking_agreement([[(4, 1), (4, 2), (4, 3)]] * 5)
    assert (same.accuracy, same.untied_accuracy, same.exact, same.spearman) == (0.5, None, 0, None)
    assert ranking_agreement([]) == RankAgreement(0, 0, 0, 0, None, None, None, None, None, None, 0, None, None)


def test_five_best_leaves_out_prompts_that_the_reference_ties_throughout() -> None:
    prompts: list[Ranked] = [[(5, 1), (2, 1)], [(5, 1), (5, 1)], [(5, 2), (3, 1)], [(5, 1), (1, 2)]]
    found = ranking_agreement(prompts)
    assert (found.five_best_untied, found.fives_untied) == (0.5, 2)
    assert (found.five_best, found.fives) == (0.8, 5)  # the convention of Yuan et al. (2024)


def test_every_statistic_has_an_interval_over_prompts() -> None:
    draw = np.random.default_rng(3)
    prompts = [
        [(float(np.clip(round(quality + draw.normal()), 0, 5)), 6 - quality) for quality in draw.integers(0, 6, 4)]
        for _ in range(80)
    ]
    found = ranking_agreement(prompts).as_data()
    names = ("accuracy", "untied_accuracy", "exact", "five_best", "five_best_untied", "spearman", "kendall")
    for name in names:
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"], name
    assert (found["parse_rate"], found["parse_rate_low"]) == (1, wilson_interval(80, 80)[0])


def test_pairs_of_one_prompt_are_resampled_together() -> None:
    """Eight copies of each response add pairs, no information: the interval must not shrink."""
    draw = np.random.default_rng(5)
    once = [[(5.0, float(rank)), (1.0, 3.0 - rank)] for rank in draw.integers(1, 3, 60)]
    often = [group * 8 for group in once]
    one, many = ranking_agreement(once), ranking_agreement(often)
    assert many.pairs == 64 * one.pairs
    assert (many.accuracy_low, many.accuracy_high) == (one.accuracy_low, one.accuracy_high)


def test_agreement_uses_only_parsed_replies(real_data: Path) -> None:
    rows = [json.loads(line)["responses"] for line in (real_data / "eft_scores_200.jsonl").read_text().splitlines()]
    groups = [[(row["scores"]["M2"], row["scores"]["gpt"]) for row in group] for group in rows]
    found = ranking_agreement(
        [(None if own in (-1, None) else own, -gpt) for own, gpt in group if gpt not in (-1, None)] for group in groups
    )
    assert found.scored == 800 - 627
    assert found.untied_pairs == 22


def test_the_change_in_accuracy_uses_the_prompts_of_both_judges() -> None:
    worse: list[Ranked] = [[(1, 1), (5, 2)], [(3, 1), (1, 2)], [(None, 1), (2, 2)]]
    better: list[Ranked] = [[(5, 1), (1, 2)], [(3, 1), (1, 2)], [(5, 1), (2, 2)]]
    found = accuracy_change(worse, better)
    assert (found.value, found.items) == (0.5, 2)
    assert accuracy_change(better, worse).value == -0.5
    assert (accuracy_change(worse, worse).low, accuracy_change(worse, worse).high) == (0, 0)
    assert accuracy_change([], []).value is None
    with pytest.raises(ValueError, match="same prompts"):
        accuracy_change(worse, better[:1])


@given(
    st.lists(
        st.lists(
            st.tuples(st.none() | st.sampled_from([0.0, 1.0, 2.5, 4.0, 5.0]), st.sampled_from([1.0, 2.0, 3.0])),
            max_size=5,
        ),
        max_size=8,
    )
)
def test_every_statistic_is_a_share_or_none(prompts: list[Ranked]) -> None:
    found = ranking_agreement(prompts)
    for share in (found.accuracy, found.untied_accuracy, found.exact, found.five_best):
        assert share is None or 0 <= share <= 1
    for correlation in (found.spearman, found.kendall):
        assert correlation is None or -1.000001 <= correlation <= 1.000001
    assert (found.accuracy is None) == (found.pairs == 0)
    json.dumps(found.as_data(), allow_nan=False)


def test_recorded_rankings_give_accuracy_one_and_reversed_rankings_zero(real_data: Path) -> None:
    lines = (real_data / "oasst_ranked_100.jsonl").read_text(encoding="utf-8").splitlines()
    ranks = [[float(response["rank"]) for response in json.loads(line)["responses"]] for line in lines]
    right = ranking_agreement([[(5 - rank / 10, rank) for rank in group] for group in ranks])
    assert (right.prompts, right.accuracy, right.exact) == (100, 1, 1)
    assert right.spearman == right.kendall == pytest.approx(1)
    wrong = ranking_agreement([[(rank / 10, rank) for rank in group] for group in ranks])
    assert (wrong.accuracy, wrong.exact, wrong.spearman) == (0, 0, pytest.approx(-1))
