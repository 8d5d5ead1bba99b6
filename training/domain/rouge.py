"""ROUGE-L, equal to the F-measure of the ``rouge-score`` package, and a nearest-neighbor search by it.

The package would take hours to compare 10,000 texts with 10,000 others. Here an inverted index gives an upper bound of
each score from the shared tokens. Only texts whose bound exceeds the best score so far are aligned, many at a time,
with a bit-parallel longest common subsequence.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_TOKEN = re.compile(r"[a-z0-9]+")
_WORD = 64  # bits per machine word of the alignment
_ONES = np.uint64(2**64 - 1)
_FIRST_BATCH, _LATER_BATCH = 16, 512  # a small first batch gives a high threshold for the others


def rouge_tokens(text: str) -> list[str]:
    """Split into lower-case runs of ASCII letters and digits, like ``rouge-score`` without its stemmer."""
    return _TOKEN.findall(text.lower())


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the ROUGE-L F-measure of two token lists, 0 to 1.

    The longest common subsequence is computed with an integer as a bit vector.
    """
    if not one or not other:
        return 0.0
    positions: dict[str, int] = {}
    for place, token in enumerate(one):
        positions[token] = positions.get(token, 0) | (1 << place)
    full = (1 << len(one)) - 1
    row = full
    for token in other:
        matched = row & positions.get(token, 0)
        row = ((row + matched) | (row - matched)) & full
    common = len(one) - row.bit_count()
    precision, recall = common / len(other), common / len(one)
    return 2 * precision * recall / (precision + recall) if common else 0.0


class RougePool:
    """A growing pool of token lists with nearest-neighbor search. Uses about 30 bytes of memory per token."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # token -> token number
        self._flat = array("i")  # token numbers of all entries, concatenated
        self._starts = array("q", [0])
        # (token, n) -> the entries with at least n + 1 occurrences of the token. The number of shared keys of two
        # texts is the number of their shared tokens, counted with repeats.
        self._holders: dict[tuple[str, int], array[int]] = {}

    def __len__(self) -> int:
        return len(self._starts) - 1

    def add(self, tokens: Sequence[str]) -> None:
        """Append an entry."""
        entry = len(self)
        for key in _with_repeats(tokens):
            self._holders.setdefault(key, array("i")).append(entry)
        self._flat.extend([self._numbers.setdefault(token, len(self._numbers)) for token in tokens])
        self._starts.append(len(self._flat))

    def nearest(self, tokens: Sequence[str], *, floor: float = 0.0) -> tuple[int, float] | None:
        """Return the index and the ROUGE-L score of the nearest entry; ``None`` if no score reaches ``floor``.

        The result is exactly the first maximum of ``rouge_l(tokens, entry)``. A higher floor is faster.
        """
        holders = [self._holders[key] for key in _with_repeats(tokens) if key in self._holders]
        if not holders:
            return None
        flat, starts = np.frombuffer(self._flat, np.int32), np.frombuffer(self._starts, np.int64)
        shared = np.bincount(np.concatenate([np.frombuffer(part, np.int32) for part in holders]), minlength=len(self))
        # The shared tokens bound the length of the common subsequence, and the score grows with that length.
        entries = np.flatnonzero(shared)
        bounds = _figures(shared[entries], len(tokens), (starts[1:] - starts[:-1])[entries])
        within = bounds >= floor
        entries, bounds = entries[within], bounds[within]
        if not len(entries):
            return None
        masks = self._masks(tokens)
        best, nearest, size = 0.0, -1, _FIRST_BATCH
        while len(entries):
            if len(entries) > size:
                top = np.argpartition(bounds, len(bounds) - size)[-size:]
            else:
                top = np.arange(len(entries))
            chosen = entries[top]
            begin, end = starts[chosen], starts[chosen + 1]
            figures = _figures(_common_lengths(masks, flat, begin, end), len(tokens), end - begin)
            highest = float(figures.max())
            first = int(chosen[figures == highest].min())
            if highest > best or (highest == best and first < nearest):
                best, nearest = highest, first
            bounds[top] = -1.0
            left = (bounds > best) | ((bounds == best) & (entries < nearest))
            entries, bounds = entries[left], bounds[left]
            size = _LATER_BATCH
        return (nearest, best) if best >= floor else None

    def _masks(self, tokens: Sequence[str]) -> Any:
        """Return a bit mask of the positions of each known token in ``tokens``. Shape (64-bit words, vocabulary)."""
        masks = np.zeros((-(-len(tokens) // _WORD), len(self._numbers)), np.uint64)
        for place, token in enumerate(tokens):
            number = self._numbers.get(token)
            if number is not None:
                masks[place // _WORD, number] |= np.uint64(1 << place % _WORD)
        return masks


def _with_repeats(tokens: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each token with the number of its earlier occurrences."""
    counts: dict[str, int] = {}
    for token in tokens:
        before = counts.get(token, 0)
        counts[token] = before + 1
        yield token, before


def _figures(common: Any, length: int, lengths: Any) -> Any:
    """Return F-measures, shape (n,), from LCS lengths (n,), one text's length in tokens and the others' (n,).

    The floating-point operations are in the order of :func:`rouge_l`, so that the results are bit-identical.
    """
    precision, recall = common / lengths, common / length
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0)


def _common_lengths(masks: Any, flat: Any, begin: Any, end: Any) -> Any:
    """Return the LCS lengths, shape (n,), of one text, given by ``masks``, and n entries of ``flat``.

    This is the recurrence of :func:`rouge_l`, vectorized over the entries. A text of more than 64 tokens takes several
    machine words; the carry of the sum goes from each word to the next.
    """
    order = np.argsort(begin - end, kind="stable")  # longest first, so that unfinished entries come first
    begin, lengths = begin[order], (end - begin)[order]
    rows = np.full((len(masks), len(order)), _ONES)
    running = len(order)
    for step in range(int(lengths[0])):
        while lengths[running - 1] <= step:
            running -= 1
        tokens = flat[begin[:running] + step]
        carry: Any = np.uint64(0)
        for word, mask in enumerate(masks):
            row = rows[word, :running]
            matched = row & mask[tokens]
            total = row + matched
            overflow = total < row
            total += carry
            carry = (overflow | (total < carry)).astype(np.uint64)
            rows[word, :running] = total | (row - matched)
    common = np.empty(len(order), np.int64)
    common[order] = np.bitwise_count(~rows).sum(axis=0)
    return common
