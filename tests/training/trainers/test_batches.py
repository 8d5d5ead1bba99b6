"""Steps have the same rows for any number of parts and processes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, RandomSampler

from training.trainers.batches import StepBatches, parts_of_a_step


def _steps(rows: int, batch_size: int, at_once: int, processes: int, *, epoch: int = 0) -> list[list[int]]:
    """Return the rows with weight per step, over all processes."""
    parts = parts_of_a_step(batch_size, at_once, processes)
    lengths = [(7 * row) % 13 + 1 for row in range(rows)]
    steps: list[list[int]] = [[] for _ in range(math.ceil(rows / batch_size))]
    for process in range(processes):
        batches = StepBatches(lengths, batch_size=batch_size, parts=parts, seed=3, processes=processes, process=process)
        batches.set_epoch(epoch)
        drawn = list(batches)
        assert len(drawn) == len(batches)
        assert all(0 < len(batch) <= at_once for batch in drawn)
        for number, batch in enumerate(drawn):
            steps[number // parts] += [place for place in batch if place < rows]
    return [sorted(step) for step in steps]


@given(
    rows=st.integers(1, 70), each=st.integers(1, 8), at_once=st.integers(1, 9), processes=st.integers(1, 3),
    epoch=st.integers(0, 3),
)  # fmt: skip
def test_every_row_counts_once_per_epoch_and_in_the_same_step(
    rows: int, each: int, at_once: int, processes: int, epoch: int
) -> None:
    alone = _steps(rows, each * processes, each * processes, 1, epoch=epoch)
    assert _steps(rows, each * processes, at_once, processes, epoch=epoch) == alone
    assert sorted(place for step in alone for place in step) == list(range(rows))


@given(rows=st.integers(1, 40), each=st.integers(1, 8), processes=st.integers(1, 4))
def test_every_process_has_as_many_parts_as_the_others(rows: int, each: int, processes: int) -> None:
    parts = parts_of_a_step(each * processes, 3, processes)
    counts = {
        len(StepBatches([1] * rows, batch_size=each * processes, parts=parts, seed=0, processes=processes, process=n))
        for n in range(processes)
    }
    assert len(counts) == 1


def test_rows_are_drawn_as_by_a_plain_random_sampler() -> None:
    generator = torch.Generator()
    generator.manual_seed(9)
    plain = [int(row) for row in DataLoader(range(20), sampler=RandomSampler(range(20), generator=generator))]
    batches = StepBatches([1] * 20, batch_size=4, parts=1, seed=9, by_length=False)
    assert [place for batch in batches for place in batch] == plain


def test_rows_of_a_step_are_sorted_by_length() -> None:
    lengths = [5, 50, 6, 51, 7, 52, 8, 53]
    batches = list(StepBatches(lengths, batch_size=8, parts=2, seed=0))
    assert [sorted(lengths[place] for place in batch) for batch in batches] == [[50, 51, 52, 53], [5, 6, 7, 8]]


def test_processes_that_cannot_share_a_step_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match="16 rows per step cannot be divided evenly between 3 processes"):
        parts_of_a_step(16, 8, 3)
