"""Margins of a policy on preference pairs, and their correlation with scores (Yu et al., 2024, table 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.domain.metrics import Z_95, kendall, mean, pearson, spearman

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
    iii). The correlations are between margin and score difference over the ``scored`` pairs; ``pearson_low`` and
    ``pearson_high`` bound the 95 % interval by Fisher's z.
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


def margin_figures(pairs: Sequence[MeasuredPair]) -> MarginFigures:
    """Compute the statistics of these pairs. Equal rewards count as incorrect, as in Yu et al. (2024)."""
    scored = [(pair.margin, pair.score_difference) for pair in pairs if pair.score_difference is not None]
    margins = [margin for margin, _ in scored]
    differences = [difference for _, difference in scored]
    r = pearson(margins, differences)
    interval = fisher_interval(r, len(scored)) if r is not None else None
    return MarginFigures(
        pairs=len(pairs),
        margin=mean([pair.margin for pair in pairs]),
        accuracy=mean([pair.margin > 0 for pair in pairs]),
        augmented_margin=mean([pair.augmented_margin for pair in pairs]),
        augmented_accuracy=mean([pair.augmented_margin > 0 for pair in pairs]),
        scored=len(scored),
        pearson=r,
        spearman=spearman(margins, differences),
        kendall=kendall(margins, differences),
        pearson_low=interval[0] if interval else None,
        pearson_high=interval[1] if interval else None,
    )


def fisher_interval(r: float, n: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a Pearson correlation by Fisher's z; ``None`` for n < 4 or r = ±1."""
    if n < 4 or abs(r) >= 1:
        return None
    z, half = math.atanh(r), Z_95 / math.sqrt(n - 3)
    return math.tanh(z - half), math.tanh(z + half)
