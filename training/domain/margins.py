"""Margins of a policy on preference pairs, and their correlation with scores (Yu et al., 2024, table 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.domain.intervals import Z_95, mean_interval, wilson_interval
from training.domain.metrics import kendall, mean, pearson, spearman
from training.domain.scores import comparable

#: Number of training pairs that are measured after training, drawn by the seed; as in Yu et al. (2024), table 4.
MEASURED_PAIRS = 200


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """A pair under a trained policy. Log-ratios are log π/π_ref summed over the response's tokens, in nats.

    ``augmented_margin`` is the margin on p⊕x, in nats. ``score_difference`` is chosen minus rejected score, in points;
    ``None`` without scores.
    """

    chosen_log_ratio: float
    rejected_log_ratio: float
    augmented_margin: float
    score_difference: float | None = None

    @property
    def margin(self) -> float:
        """h in nats, the "marginal" of Yu et al. (2024), section 4.1 (i). The reward margin is β times this value."""
        return self.chosen_log_ratio - self.rejected_log_ratio


@dataclass(frozen=True, slots=True)
class MarginFigures:
    """Statistics over measured pairs; ``None`` if undefined.

    ``margin`` and ``augmented_margin`` are means in nats, the accuracies are shares (Yu et al., 2024, section 4.1, i to
    iii). The correlations are between margin and score difference over the ``scored`` pairs. ``…_low`` and ``…_high``
    bound 95 % intervals over pairs: bootstrap for the means, Wilson's for the accuracies, :func:`fisher_interval` for
    the correlations; they are ``None`` in results of earlier versions.
    """

    pairs: int
    margin: float | None
    accuracy: float | None
    augmented_margin: float | None
    augmented_accuracy: float | None
    scored: int
    pearson: float | None
    spearman: float | None
    kendall: float | None
    pearson_low: float | None
    pearson_high: float | None
    margin_low: float | None = None
    margin_high: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    augmented_margin_low: float | None = None
    augmented_margin_high: float | None = None
    augmented_accuracy_low: float | None = None
    augmented_accuracy_high: float | None = None
    spearman_low: float | None = None
    spearman_high: float | None = None
    kendall_low: float | None = None
    kendall_high: float | None = None


def margin_figures(pairs: Sequence[MeasuredPair]) -> MarginFigures:
    """Compute the statistics of these pairs. Equal rewards count as incorrect, as in Yu et al. (2024)."""
    scored = [(pair.margin, pair.score_difference) for pair in pairs if pair.score_difference is not None]
    margins = [margin for margin, _ in scored]
    differences = [comparable(difference) for _, difference in scored]
    correlations = {
        "pearson": pearson(margins, differences),
        "spearman": spearman(margins, differences),
        "kendall": kendall(margins, differences),
    }
    both = {"margin": [pair.margin for pair in pairs], "augmented_margin": [pair.augmented_margin for pair in pairs]}
    intervals: dict[str, tuple[float | None, float | None] | None] = {}
    for name, values in both.items():
        intervals[name] = mean_interval(values)
        intervals[name.replace("margin", "accuracy")] = wilson_interval(sum(one > 0 for one in values), len(values))
    for name, correlation in correlations.items():
        intervals[name] = None if correlation is None else fisher_interval(correlation, len(scored), name)
    bounds = {
        f"{name}_{end}": interval[place] if interval else None
        for name, interval in intervals.items()
        for place, end in enumerate(("low", "high"))
    }
    return MarginFigures(
        pairs=len(pairs),
        margin=mean(both["margin"]),
        accuracy=mean([one > 0 for one in both["margin"]]),
        augmented_margin=mean(both["augmented_margin"]),
        augmented_accuracy=mean([one > 0 for one in both["augmented_margin"]]),
        scored=len(scored),
        **correlations,
        **bounds,
    )


def fisher_interval(r: float, n: int, kind: str = "pearson") -> tuple[float, float] | None:
    """Return the 95 % interval of a correlation by Fisher's z; ``None`` for n < 4 (Kendall: 5) or |r| = 1.

    ``kind`` is "pearson", "spearman" or "kendall". The variance of z is 1/(n - 3) for Pearson, (1 + r²/2)/(n - 3) for
    Spearman and 0.437/(n - 4) for Kendall's τ (Bonett & Wright 2000, "Sample size requirements for estimating Pearson,
    Kendall and Spearman correlations", Psychometrika 65).
    """
    lost = 4 if kind == "kendall" else 3
    if n <= lost or abs(r) >= 1 - 1e-12:
        return None
    variance = {"pearson": 1.0, "spearman": 1 + r * r / 2, "kendall": 0.437}[kind] / (n - lost)
    z, half = math.atanh(r), Z_95 * math.sqrt(variance)
    return math.tanh(z - half), math.tanh(z + half)
