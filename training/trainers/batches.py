"""Which rows each process computes in each part of an optimizer step, without changing what a step learns from.

A step learns from the same ``batch_size`` rows whatever the processes, the parts and their order are: the loss is a sum
over the step's rows, divided by their number. So the rows of a step may be set side by side by length, which leaves
little padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

CPU_TOKENS = 512  # at once: a CPU gains nothing from more rows side by side, and fewer need less padding
WEIGHT = "row_weight"


def parts_of_a_step(batch_size: int, at_once: int, processes: int = 1) -> int:
    """Parts that a step of ``batch_size`` rows has in each process, so that none holds more than ``at_once`` rows.

    Raises :class:`ValueError` where the processes cannot share the rows evenly.
    """
    if batch_size % processes:
        raise ValueError(f"{batch_size} rows a step cannot be shared evenly by {processes} processes")
    each = batch_size // processes
    return next(parts for parts in range(math.ceil(each / at_once), each + 1) if each % parts == 0)


class StepBatches:
    """The places of the rows of every part, for one process and one epoch after another; a batch sampler.

    Rows are drawn in the order of a plain random sampler of the same seed. Where the last step has fewer rows than
    there are processes, a process gets a row again that counts nothing: its place is given plus the number of rows.
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
        """The epoch that is drawn next, from 0."""
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
            if self.by_length:  # longest first: what does not fit in memory shows at once
                rows.sort(key=lambda place: -self.lengths[place])
            groups = self._parts(len(rows)) * self.processes
            rows += [rows[-1] + count] * (groups - len(rows))
            ends = [round(number * len(rows) / groups) for number in range(groups + 1)]
            for group in range(self.process, groups, self.processes):
                yield rows[ends[group] : ends[group + 1]]


class StepLoader(DataLoader[Any]):
    """A loader of :class:`StepBatches`, which hears of each epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the batches."""
        batches: Any = self.batch_sampler
        batches.set_epoch(epoch)


class WeighedRows:
    """Rows that can be asked for twice: at their place they count 1, at their place plus the number of rows nothing."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        again, at = divmod(place, len(self.rows))
        return self.rows[at] | {WEIGHT: 0.0 if again else 1.0}
