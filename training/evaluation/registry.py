"""Registry of measures and metrics, used by everything that shows, stores or exports a metric."""

from __future__ import annotations

from typing import Final

from training.domain.metric import Metric, Place
from training.domain.training_metrics import PAIR_METRICS, TRAINING_METRICS
from training.evaluation.answers import Answers
from training.evaluation.head_to_head import HeadToHead
from training.evaluation.human_agreement import AGREEMENT_METRICS, HumanAgreement
from training.evaluation.leakage import LeakageMeasure
from training.evaluation.measure import Measure
from training.evaluation.ranking_agreement import RankingAgreement
from training.evaluation.self_judge import SelfJudge

#: All measures, in the order in which they run and are shown.
MEASURES: Final[list[Measure]] = [
    Answers(),
    HeadToHead(),
    SelfJudge(),
    HumanAgreement(),
    RankingAgreement(),
    LeakageMeasure(),
]


def evaluation_metrics(*, has_previous: bool = True) -> list[Metric]:
    """Return the metrics of all measures. ``has_previous`` is false for the first checkpoint of a run."""
    return [metric for measure in MEASURES if has_previous or not measure.needs_previous for metric in measure.metrics]


def metrics(place: Place | None = None) -> list[Metric]:
    """Return all metrics in display order, or those that ``place`` shows.

    Raises:
        ValueError: if two metrics have the same key.
    """
    all_metrics = [*evaluation_metrics(), *AGREEMENT_METRICS, *TRAINING_METRICS, *PAIR_METRICS]
    keys = [metric.key for metric in all_metrics]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"metrics with the same key: {', '.join(twice)}")
    return [metric for metric in all_metrics if place is None or place in metric.places]


def metric(key: str) -> Metric:
    """Return the metric with this key. Raises ``KeyError`` if there is none."""
    return {one.key: one for one in metrics()}[key]
