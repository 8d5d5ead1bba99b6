"""ROUGE-L: bit-identical to the package, and nearest neighbors equal to a brute-force search."""

from __future__ import annotations

import json
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from training.domain.rouge import RougePool, rouge_l, rouge_tokens

texts = st.lists(st.sampled_from("abcd"), max_size=20) | st.lists(st.sampled_from("abcdefgh"), max_size=150)


def _one_by_one(tokens: list[str], pool: list[list[str]]) -> tuple[int, float] | None:
    figures = [rouge_l(tokens, known) for known in pool]
    highest = max(figures, default=0.0)
    return (figures.index(highest), highest) if highest else None


def _pool(entries: list[list[str]]) -> RougePool:
    pool = RougePool()
    for tokens in entries:
        pool.add(tokens)
    return pool


def test_rouge_l_by_hand() -> None:
    one, other = rouge_tokens("the cat sat on the mat"), rouge_tokens("The cat lay on a mat!")
    assert rouge_l(one, other) == pytest.approx(4 / 6)
    assert rouge_l(one, one) == 1
    assert rouge_l(one, []) == 0


def test_rouge_l_equals_the_package_on_every_pair_of_seed_tasks(real_data: Path) -> None:
    scorer = RougeScorer(["rougeL"])
    lines = (real_data / "self_instruct_seeds.jsonl").read_text().splitlines()
    seeds = [json.loads(line)["instruction"] for line in lines]
    assert len(seeds) == 175
    for one, other in combinations_with_replacement(seeds, 2):
        expected = scorer.score(one, other)["rougeL"].fmeasure
        assert rouge_l(rouge_tokens(one), rouge_tokens(other)) == expected
        assert rouge_l(rouge_tokens(other), rouge_tokens(one)) == expected


def test_the_nearest_seed_task_equals_a_brute_force_search(real_data: Path) -> None:
    lines = (real_data / "self_instruct_seeds.jsonl").read_text().splitlines()
    seeds = [rouge_tokens(json.loads(line)["instruction"]) for line in lines]
    for place, tokens in enumerate(seeds):
        others = seeds[:place] + seeds[place + 1 :]
        assert _pool(others).nearest(tokens) == _one_by_one(tokens, others)


@given(texts, st.lists(texts, max_size=40))
def test_the_nearest_entry_equals_a_brute_force_search(tokens: list[str], entries: list[list[str]]) -> None:
    assert _pool(entries).nearest(tokens) == _one_by_one(tokens, entries)


@given(texts, st.lists(texts, max_size=40), st.sampled_from([0.3, 0.5, 2 / 3, 0.7, 1.0]))
def test_with_a_floor_the_nearest_is_the_same_or_is_below_it(
    tokens: list[str], entries: list[list[str]], floor: float
) -> None:
    nearest = _one_by_one(tokens, entries)
    assert _pool(entries).nearest(tokens, floor=floor) == (nearest if nearest and nearest[1] >= floor else None)


def test_the_first_of_equally_near_entries_is_returned() -> None:
    entries = [["x", str(number)] for number in range(1000)]
    assert _pool(entries).nearest(["x", "y"]) == (0, 0.5)


def test_no_shared_token_and_an_empty_pool_have_no_nearest() -> None:
    assert _pool([["a"], []]).nearest(["b"]) is None
    assert _pool([["a"]]).nearest([]) is None
    assert RougePool().nearest(["a"]) is None


def test_the_pool_can_grow_between_searches() -> None:
    pool = _pool([["a", "b"]])
    assert pool.nearest(["a", "c"]) == (0, 0.5)
    pool.add(["a", "c"])
    assert (len(pool), pool.nearest(["a", "c"])) == (2, (1, 1.0))
