"""Split of pairs into training, held-out and unused pairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training.domain.pair_split import PairContent, split_pairs

pairs = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), max_size=24, unique=True).map(
    lambda rows: [PairContent(place, prompt, chosen, "no") for place, (prompt, chosen) in enumerate(rows)]
)


@given(pairs, st.integers(0, 12), st.none() | st.integers(1, 12), st.integers(0, 9))
def test_every_pair_is_in_one_part_and_no_prompt_is_both_trained_on_and_held_out(
    rows: list[PairContent], held_out: int, most: int | None, seed: int
) -> None:
    found = split_pairs(rows, held_out=held_out, most=most, seed=seed)
    assert sorted([*found.train, *found.held_out, *found.left_out]) == [row.id for row in rows]
    assert len(found.held_out) == min(held_out, len(rows))
    assert most is None or len(found.train) <= most
    prompts = {row.id: row.prompt for row in rows}
    assert not {prompts[one] for one in found.train} & {prompts[one] for one in found.held_out}


@given(pairs, st.integers(0, 6), st.integers(1, 8), st.integers(0, 9))
def test_a_smaller_training_set_is_a_subset_of_a_larger_one(
    rows: list[PairContent], held_out: int, most: int, seed: int
) -> None:
    few = split_pairs(rows, held_out=held_out, most=most, seed=seed)
    more = split_pairs(rows, held_out=held_out, most=most + 3, seed=seed)
    assert few.train <= more.train
    assert few.held_out == more.held_out


@given(pairs, st.integers(0, 9))
def test_the_order_of_the_pairs_does_not_matter(rows: list[PairContent], seed: int) -> None:
    assert split_pairs(rows, held_out=3, most=5, seed=seed) == split_pairs(rows[::-1], held_out=3, most=5, seed=seed)


def test_by_default_every_pair_is_a_training_pair() -> None:
    rows = [PairContent(1, "a", "x", "y"), PairContent(2, "a", "z", "y")]
    assert split_pairs(rows, held_out=0, most=None, seed=0).train == {1, 2}
