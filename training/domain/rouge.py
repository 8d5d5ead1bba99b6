"""ROUGE-L, exactly the ``rouge-score`` package's F-measure, and the nearest text of a large pool by it.

Pair by pair, 10,000 texts against 10,000 others take the package hours. Here every pair gets a bound from the tokens
that it shares, which an inverted index counts at once, and only pairs whose bound passes the best figure so far are
aligned, many at a time, by a bit-parallel longest common subsequence.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_TOKEN = re.compile(r"[a-z0-9]+")
_WORD = 64  # bits of one machine word of the alignment
_ONES = np.uint64(2**64 - 1)
_FIRST_BATCH, _LATER_BATCH = 16, 512  # the likeliest few first: they set the bar that most others do not reach


def rouge_tokens(text: str) -> list[str]:
    """Lower-case runs of ASCII letters and digits, as the ``rouge-score`` package splits without its stemmer."""
    return _TOKEN.findall(text.lower())


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """ROUGE-L F-measure of two token lists, 0 to 1, by their longest common subsequence.

    The subsequence is counted with one integer as a bit vector: a row of the table costs a few machine words.
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
    """Token lists that can be asked for the nearest one. Grows by :meth:`add`; entries keep their number.

    Memory: some 30 bytes a token.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # token -> its number
        self._flat = array("i")  # the entries' token numbers, one entry after the other
        self._starts = array("q", [0])
        # (token, n) -> the entries that hold the token at least n + 1 times. Two texts share as many tokens, counted
        # with repeats, as they share such keys.
        self._holders: dict[tuple[str, int], array[int]] = {}

    def __len__(self) -> int:
        return len(self._starts) - 1

    def add(self, tokens: Sequence[str]) -> None:
        """Put one more entry at the end."""
        entry = len(self)
        for key in _with_repeats(tokens):
            self._holders.setdefault(key, array("i")).append(entry)
        self._flat.extend([self._numbers.setdefault(token, len(self._numbers)) for token in tokens])
        self._starts.append(len(self._flat))

    def nearest(self, tokens: Sequence[str], *, floor: float = 0.0) -> tuple[int, float] | None:
        """Number and ROUGE-L figure (0 to 1) of the entry nearest to ``tokens``, where the figure is ``floor`` or more.

        The same as the first of the highest among ``rouge_l(tokens, entry)`` over all entries, to the last bit;
        ``None`` where none shares a token or all are below the floor. The higher the floor, the fewer are aligned.
        """
        held = [self._holders[key] for key in _with_repeats(tokens) if key in self._holders]
        if not held:
            return None
        flat, starts = np.frombuffer(self._flat, np.int32), np.frombuffer(self._starts, np.int64)
        shared = np.bincount(np.concatenate([np.frombuffer(part, np.int32) for part in held]), minlength=len(self))
        # No common subsequence is longer than the tokens shared, and the figure grows with its length.
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
        """(words, vocabulary) bits: where in ``tokens`` each known token stands, 64 places a word."""
        masks = np.zeros((-(-len(tokens) // _WORD), len(self._numbers)), np.uint64)
        for place, token in enumerate(tokens):
            number = self._numbers.get(token)
            if number is not None:
                masks[place // _WORD, number] |= np.uint64(1 << place % _WORD)
        return masks


def _with_repeats(tokens: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each token with how many times it stood before: all different."""
    seen: dict[str, int] = {}
    for token in tokens:
        before = seen.get(token, 0)
        seen[token] = before + 1
        yield token, before


def _figures(common: Any, length: int, lengths: Any) -> Any:
    """F-measures of common lengths (n,) between a text of ``length`` tokens and texts of ``lengths`` (n,).

    The operations and their order are those of :func:`rouge_l`, so that equal means equal to the last bit.
    """
    precision, recall = common / lengths, common / length
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0)


def _common_lengths(masks: Any, flat: Any, begin: Any, end: Any) -> Any:
    """Lengths (n,) of the longest common subsequences of one text, given by ``masks``, and n entries of ``flat``.

    The recurrence of :func:`rouge_l`, for all entries side by side: one step takes the next token of each. A text of
    more than 64 tokens takes several machine words, and the sum's carry goes from each into the next.
    """
    order = np.argsort(begin - end, kind="stable")  # the longest first: those still running are always in front
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
