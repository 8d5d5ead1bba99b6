"""Divide the rows of each optimizer step into parts and between processes.

The loss is a sum over the step's rows divided by their number, so the division does not change the result. Rows of a
step can therefore be sorted by length, which reduces padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

CPU_TOKENS = 512  # per forward pass: on a CPU, larger batches are not faster and need more padding
WEIGHT = "row_weight"


def parts_of_a_step(batch_size: int, at_once: int, processes: int = 1) -> int:
    """Return the number of parts per step and process such that no part has more than ``at_once`` rows.

    Raises :class:`ValueError` if the ``batch_size`` rows cannot be divided evenly between the processes.
    """
    if batch_size % processes:
        raise ValueError(f"{batch_size} rows per step cannot be divided evenly between {processes} processes")
    each = batch_size // processes
    return next(parts for parts in range(math.ceil(each / at_once), each + 1) if each % parts == 0)


class StepBatches:
    """Batch sampler that yields the row indices of each part for one process.

    Rows follow the order of a random sampler with the same seed. If the last step has fewer rows than there are
    processes, some processes get a repeated row of weight 0, marked by adding the number of rows to its index.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        parts: int,
        seed: int,
        by_length: bool = True,
        processes: int = 1,
        process: int = 0,
    ) -> None:
        self.lengths, self.seed, self.by_length = lengths, seed, by_length
        self.batch_size, self.parts = batch_size, parts
        self.processes, self.process = processes, process
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch, counted from 0."""
        self.epoch = epoch

    def _parts(self, rows: int) -> int:
        at_once = self.batch_size // (self.parts * self.processes)
        return min(self.parts, math.ceil(rows / (at_once * self.processes)))

    def __len__(self) -> int:
        steps, left = divmod(len(self.lengths), self.batch_size)
        return steps * self.parts + self._parts(left)

    def __iter__(self) -> Iterator[list[int]]:
        count = len(self.lengths)
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        drawn = torch.randperm(count, generator=generator).tolist()
        for start in range(0, count, self.batch_size):
            rows = drawn[start : start + self.batch_size]
            if self.by_length:  # longest first, so that running out of memory shows early
                rows.sort(key=lambda place: -self.lengths[place])
            groups = self._parts(len(rows)) * self.processes
            rows += [rows[-1] + count] * (groups - len(rows))
            ends = [round(number * len(rows) / groups) for number in range(groups + 1)]
            for group in range(self.process, groups, self.processes):
                yield rows[ends[group] : ends[group + 1]]


class StepLoader(DataLoader[Any]):
    """Data loader that passes the epoch on to its :class:`StepBatches`."""

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the batches."""
        batches: Any = self.batch_sampler
        batches.set_epoch(epoch)


class WeightedRows:
    """Rows with weight 1 at their own index, and with weight 0 at that index plus the number of rows."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        again, at = divmod(index, len(self.rows))
        return self.rows[at] | {WEIGHT: 0.0 if again else 1.0}
