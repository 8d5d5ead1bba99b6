"""The charts of a training's curves: which metrics share a chart, and the words and formats of the metric registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from training.domain.training_metrics import CURVES, FINE_TUNING_LOSS_UNIT

Tone = Literal["ink", "good", "bad", "accent"]

_METRICS: Final = {metric.key: metric for metric in CURVES}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of one or several metrics with the same unit and format.

    Attributes:
        lines: the key of each metric, and the colour of its line in the stylesheet.
        title: the title of a chart of several metrics; empty for the label of the first one.
        fine_tuning_unit: the unit in fine-tuning, if it differs from the metric's.
        is_smoothed: whether running means are drawn in front of the single steps.
        from_zero: whether the axis starts at 0.
        guide: a dashed line: chance level (0.5), or the gradient norm above which gradients are clipped.
    """

    lines: tuple[tuple[str, Tone], ...]
    title: str = ""
    fine_tuning_unit: str = ""
    is_smoothed: bool = True
    from_zero: bool = False
    guide: Literal["", "chance", "limit"] = ""

    def as_json(self) -> dict[str, Any]:
        """Return what the page's script needs to draw the chart."""
        metrics = [_METRICS[key] for key, _ in self.lines]
        first = metrics[0]
        return {
            "title": self.title or first.label,
            "unit": first.unit,
            "fine_tuning_unit": self.fine_tuning_unit or first.unit,
            "format": first.format,
            "about": " ".join(metric.about for metric in metrics if metric.about),
            "smooth": self.is_smoothed,
            "zero": self.from_zero,
            "guide": self.guide,
            "lines": [[metric.key, metric.name, tone] for metric, (_, tone) in zip(metrics, self.lines, strict=True)],
        }


#: The charts in the order of the page. A chart without a measured metric is not drawn.
CHARTS: Final = (
    Chart((("chosen_reward", "good"), ("rejected_reward", "bad")), title="Rewards"),
    Chart((("margin", "ink"), ("augmented_margin", "accent"))),
    Chart((("accuracy", "ink"), ("augmented_accuracy", "accent")), guide="chance"),
    Chart((("loss", "ink"),), fine_tuning_unit=FINE_TUNING_LOSS_UNIT),
    Chart((("kl", "accent"),)),
    Chart((("grad_norm", "ink"),), guide="limit"),
    Chart((("learning_rate", "accent"),), is_smoothed=False),
    Chart((("tokens_per_second", "ink"),), from_zero=True),
    Chart((("memory_bytes", "ink"),), is_smoothed=False, from_zero=True),
)


def charts() -> list[dict[str, Any]]:
    """Return the charts as the page's script reads them."""
    return [chart.as_json() for chart in CHARTS]
