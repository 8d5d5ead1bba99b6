"""Selection of EFT rows: agreement, thinning, and disjoint parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.domain.eft import (
    RankedJudgement,
    agrees_with_people,
    overlapping_prompts,
    select_eft,
    split_prompts,
)
from training.domain.rows import PromptOutcome


def _judged(key: str, *ranked: tuple[float, float | None], draw: int = 0) -> list[RankedJudgement]:
    return [RankedJudgement(key, rank, score, draw, n) for n, (rank, score) in enumerate(ranked)]


def test_agreement_needs_every_order_to_match() -> None:
    assert agrees_with_people(_judged("a", (1, 5), (2, 3), (3, 1)))
    assert not agrees_with_people(_judged("a", (1, 5), (2, 5)))
    assert not agrees_with_people(_judged("a", (1, 2), (2, 5)))
    assert agrees_with_people(_judged("a", (1, 5), (1, 4), (2, 1)))
    assert not agrees_with_people(_judged("a", (1, 5)))


def test_responses_that_are_all_tied_do_not_agree() -> None:
    assert not agrees_with_people(_judged("a", (1, 5), (1, 2)))


def test_agreeing_judgements_are_kept_and_the_most_common_score_is_thinned() -> None:
    rows = [row for n in range(30) for row in _judged(f"good {n}", (1, 4), (2, n % 3))]
    rows += _judged("bad", (1, 1), (2, 5)) + _judged("silent", (1, None), (2, 3))
    found = select_eft(rows, run_seed=1, eval_share=0)
    # "silent" has only one parsed judgement, which is not a ranking.
    assert (found.asked, found.parsed, found.prompts, found.agreeing_prompts) == (64, 63, 32, 30)
    assert found.agreeing == 60
    assert found.common_score == 4
    fours = sum(row.score == 4 for row in found.train)
    assert fours / len(found.train) <= 0.4
    assert found.thinned == 30 - fours
    assert found == select_eft(rows, run_seed=1, eval_share=0)
    assert found.outcomes["bad"] == PromptOutcome.RANKING_DIFFERS
    assert found.outcomes["silent"] == PromptOutcome.RANKING_UNKNOWN


def test_the_first_agreeing_draw_is_kept() -> None:
    rows = _judged("a", (1, 2), (2, 4)) + _judged("a", (1, 5), (2, 3), draw=1) + _judged("a", (1, 4), (2, 1), draw=2)
    found = select_eft(rows, run_seed=1, eval_share=0, most_common_share=1)
    assert [(row.draw, row.score) for row in found.train] == [(1, 5), (1, 3)]
    assert (found.asked, found.agreeing, found.agreeing_prompts) == (6, 2, 1)


def test_the_evaluation_part_is_not_thinned() -> None:
    rows = [row for n in range(200) for row in _judged(f"p{n}", (1, 4), (2, n % 3))]
    found = select_eft(rows, run_seed=3)
    assert sum(row.score == 4 for row in found.evaluation) == len(found.evaluation) / 2
    assert found.thinned > 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"), st.integers(1, 4), st.none() | st.sampled_from([0.0, 1.0, 4.0, 5.0]),
            st.integers(0, 2),
        ),
        max_size=60,
    ),
    st.integers(0, 99),
)  # fmt: skip
def test_every_count_adds_up_and_no_prompt_is_in_both_parts(
    drawn: list[tuple[str, int, float | None, int]], seed: int
) -> None:
    rows = [RankedJudgement(key, rank, score, draw, n) for n, (key, rank, score, draw) in enumerate(drawn)]
    found = select_eft(rows, run_seed=seed)
    assert not {row.prompt_key for row in found.train} & {row.prompt_key for row in found.evaluation}
    assert len(found.train) + found.thinned + len(found.evaluation) == found.agreeing <= found.parsed <= found.asked
    assert all(row.score is not None for row in (*found.train, *found.evaluation))
    assert set(found.outcomes) == {row.prompt_key for row in rows}


def test_train_and_evaluation_prompts_are_disjoint() -> None:
    keys = [f"prompt {n}" for n in range(1000)]
    train, evaluation = split_prompts(keys, run_seed=1)
    assert not train & evaluation
    assert len(train | evaluation) == 1000
    assert 200 < len(evaluation) < 300


@pytest.mark.parametrize("shares", [{"most_common_share": 0}, {"most_common_share": 1.1}, {"eval_share": 1}])
def test_an_invalid_share_is_rejected(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        select_eft([], run_seed=1, **shares)


def test_overlap_ignores_case_and_punctuation() -> None:
    prompts = [("a", "Name a bird."), ("b", "Name a fish.")]
    assert overlapping_prompts(prompts, ["  name\n a BIRD "]) == {"a"}


def test_only_draws_that_follow_the_recorded_rankings_are_kept(real_data: Path) -> None:
    lines = (real_data / "oasst_ranked_100.jsonl").read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines:
        record = json.loads(line)
        for n, response in enumerate(record["responses"]):
            # Draw 0 reverses people's ranking and draw 1 repeats it: only draw 1 can be kept.
            rows.append(RankedJudgement(record["id"], response["rank"], float(response["rank"]), 0, n))
            rows.append(RankedJudgement(record["id"], response["rank"], 5.0 - response["rank"] / 9, 1, n))
    found = select_eft(rows, run_seed=0, most_common_share=1)
    assert found.prompts == found.agreeing_prompts == 100
    assert {row.draw for row in (*found.train, *found.evaluation)} == {1}
