"""Training curves, downsampled for display."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from alignment_app.models import Run, Stage
from alignment_app.selectors import metrics
from training.config import PreferenceConfig, SFTConfig, StoredConfig
from training.domain.curve_notes import CurveNote, TrainingSettings, curve_notes
from training.domain.training_metrics import CURVES
from training.plan import TRAINING
from training.plan.training import PreferenceResult

MOST_POINTS: Final = 500
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """The curves of one training stage, each a list of (step, value)."""

    iteration: int
    stage: str
    lines: dict[str, list[Point]] = field(default_factory=dict)
    steps: int | None = None  #: total training steps
    series: str = ""  #: name of the training run, if the stage has several (one per λ)
    limit: float | None = None  #: gradient clipping norm
    notes: list[CurveNote] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"M{self.iteration + 1}" + (f", {self.series}" if self.series else "")

    def as_json(self) -> dict[str, Any]:
        """The data for the chart script."""
        return {name: getattr(self, name) for name in ("label", "steps", "lines")} | self.as_notes()

    def as_notes(self) -> dict[str, Any]:
        """Title, series and description of the chart."""
        which = {name: getattr(self, name) for name in ("iteration", "stage", "series", "limit")}
        return which | {"notes": [asdict(note) for note in self.notes]}


def curves(run: Run, *, up_to: int | None = None, iteration: int | None = None, most: int = MOST_POINTS) -> list[Curve]:
    """Return the curves of a run with their descriptions, by iteration, with at most ``most`` points each.

    If an iteration has several training runs, the selected one comes last, because the page shows the last one first.
    ``up_to``: sequence number of the newest event to read.
    """
    found = []
    for key, steps in metrics.steps_of(run.pk, up_to=up_to, iteration=iteration).items():
        lines = {
            curve.key: [(step, point[curve.key]) for step, point in steps.items() if point.get(curve.key) is not None]
            for curve in CURVES
        }
        total = steps[max(steps)].get("total_steps")
        setting = setting_of(run.stored_config, key, total)
        found.append(
            Curve(
                key.iteration,
                key.stage,
                {name: thin_out(line, most) for name, line in lines.items() if line},
                steps=total,
                series=key.series,
                limit=(setting.max_grad_norm or None) if setting else None,
                notes=curve_notes(lines, setting) if setting else [],
            )
        )
    trainings = Stage.objects.filter(iteration__run=run, kind=TRAINING.kind)
    chosen = {
        number: PreferenceResult.read(result).lam
        for number, result in trainings.values_list("iteration__number", "result")
    }
    names = {number: f"λ {lam:g}" for number, lam in chosen.items() if lam is not None}
    return sorted(found, key=lambda curve: (curve.iteration, curve.series == names.get(curve.iteration)))


def setting_of(stored: StoredConfig, key: metrics.Key, steps: int | None) -> TrainingSettings | None:
    """Return the training settings for the descriptions; ``None`` if the stored config is no longer valid."""
    if not stored.is_valid:
        return None
    parsed = stored.config
    section: SFTConfig | PreferenceConfig = parsed.sft if key.iteration == 0 else parsed.training
    setting = TrainingSettings(max_grad_norm=section.max_grad_norm, dropout=section.dropout, steps=steps)
    if not isinstance(section, PreferenceConfig) or section.is_positive_only:
        return replace(setting, fine_tuning=True)
    begins_at = {"previous": key.iteration, "m1": 1, "base": 0 if parsed.sft.enabled else 1}[section.reference]
    return replace(setting, loss=section.loss, beta=section.beta, starts_at_reference=begins_at == key.iteration)


def thin_out(line: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Downsample to at most ``most`` points by Largest-Triangle-Three-Buckets (Steinarsson, 2013).

    The first and last points are kept. Each bucket between them keeps the point that spans the largest triangle with
    the previously kept point and the mean of the next bucket.
    """
    if len(line) <= most or most < 3:
        return list(line)
    width = (len(line) - 2) / (most - 2)
    kept = [line[0]]
    for bucket in range(most - 2):
        start, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        after = line[end : int((bucket + 2) * width) + 1] or line[-1:]
        mean_x = sum(x for x, _ in after) / len(after)
        mean_y = sum(y for _, y in after) / len(after)
        left_x, left_y = kept[-1]
        kept.append(
            max(
                line[start:end],
                key=lambda point: abs(
                    (left_x - mean_x) * (point[1] - left_y) - (left_x - point[0]) * (mean_y - left_y)
                ),
            )
        )
    kept.append(line[-1])
    return kept
