"""How a policy weighs preference pairs, and whether it weighs them as the scores do (003 section 4.4, table 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.domain.metrics import Z_95, kendall, mean, pearson, spearman

#: Pairs of a training set that are measured after it, drawn by the seed: as many as table 4 of 003 rests on.
MEASURED_PAIRS = 200


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """A pair under a trained policy. Log-ratios are log π/π_ref summed over the response's tokens, in nats.

    ``augmented_margin`` is the margin on p⊕x. ``score_difference`` is the chosen response's score minus the rejected
    one's, in points; ``None`` where the pair holds no scores.
    """

    chosen_log_ratio: float
    rejected_log_ratio: float
    augmented_margin: float
    score_difference: float | None = None

    @property
    def margin(self) -> float:
        """h, the "marginal" of 003 section 4.1 (i), in nats; a reward margin is β times this."""
        return self.chosen_log_ratio - self.rejected_log_ratio


@dataclass(frozen=True, slots=True)
class MarginFigures:
    """Figures over measured pairs; ``None`` where there is nothing to compute one from.

    ``margin`` and ``augmented_margin`` are means in nats, the accuracies shares (003 section 4.1, i to iii). The
    correlations are of margin against score difference over the ``scored`` pairs; ``pearson_low`` and ``pearson_high``
    are the 95 % interval by Fisher's z.
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
    """All figures over these pairs. Equal rewards are not in order, as in 003."""
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
    """95 % interval of a Pearson correlation over ``n`` pairs, by Fisher's z; ``None`` below four or at ±1."""
    if n < 4 or abs(r) >= 1:
        return None
    z, half = math.atanh(r), Z_95 / math.sqrt(n - 3)
    return math.tanh(z - half), math.tanh(z + half)
