"""A judge held to people's blind scores: how far off, how well ordered, with intervals over prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.domain.agreement import Figure, cohen_kappa
from training.domain.metrics import mean, pairwise_with_ties, spearman

#: One prompt's responses as (judge's score, people's score).
Scored = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Errors in points of 0 to 5 (judge minus people); ``pairwise``: share of pairs of one prompt in people's order."""

    responses: int
    mean_error: Figure
    absolute_error: Figure
    kappa: Figure
    spearman: Figure
    pairwise: Figure
    curve: tuple[tuple[float, float, int], ...]


def calibrate(prompts: Sequence[Scored], *, draws: int = 300, seed: int = 1) -> Calibration:
    """Every figure with its 95 % percentile interval over prompts drawn with replacement.

    κ is quadratic over scores rounded to whole points. ``curve``: (judge's score, people's mean, responses) for each
    whole point that the judge gave.
    """
    kept = [list(prompt) for prompt in prompts if prompt]
    flat = [pair for prompt in kept for pair in prompt]
    generator = np.random.default_rng(seed)
    samples = [generator.integers(0, len(kept), len(kept)) for _ in range(draws)] if kept else []

    def figure(of: Callable[[list[Scored]], float | None]) -> Figure:
        found = [value for value in (of([kept[place] for place in sample]) for sample in samples) if value is not None]
        estimate = of(list(kept)) if kept else None
        if not found:
            return Figure(estimate, None, None, len(kept))
        low, high = np.percentile(found, [2.5, 97.5])
        return Figure(estimate, float(low), float(high), len(kept))

    return Calibration(
        len(flat),
        figure(lambda rows: mean([judge - people for row in rows for judge, people in row])),
        figure(lambda rows: mean([abs(judge - people) for row in rows for judge, people in row])),
        figure(_kappa),
        figure(_spearman),
        figure(_pairwise),
        _curve(flat),
    )


def _kappa(rows: list[Scored]) -> float | None:
    flat = [pair for row in rows for pair in row]
    return cohen_kappa([round(a) for a, _ in flat], [round(b) for _, b in flat], weights="quadratic")


def _spearman(rows: list[Scored]) -> float | None:
    flat = [pair for row in rows for pair in row]
    return spearman([a for a, _ in flat], [b for _, b in flat])


def _pairwise(rows: list[Scored]) -> float | None:
    return pairwise_with_ties([[a for a, _ in row] for row in rows], [[b for _, b in row] for row in rows])[0]


def _curve(flat: Sequence[tuple[float, float]]) -> tuple[tuple[float, float, int], ...]:
    bins: dict[int, list[float]] = {}
    for judge, people in flat:
        bins.setdefault(round(judge), []).append(people)
    return tuple((float(score), sum(found) / len(found), len(found)) for score, found in sorted(bins.items()))
