"""Measure a new checkpoint's margins on pairs after preference training, and compare them with the scores."""

from __future__ import annotations

from typing import Any

from alignment_app.models import Checkpoint, Dataset, PairMargin
from alignment_app.selectors import work as selectors
from alignment_app.services import artifacts, events
from training.domain.margins import MEASURED_PAIRS, MeasuredPair, margin_figures
from training.domain.seeds import derive_seed
from training.jobs.stage_work import StageWork
from training.trainers.log_ratios import measure_pairs

Row = dict[str, Any]


def measure_margins(job: StageWork, checkpoint: Checkpoint, reference: Checkpoint, data: list[Row]) -> None:
    """Measure and save margins of a sample of the training pairs, the held-out pairs and ``evaluation.pairs``.

    The sample is drawn from the training pairs with scores, if there are any.
    """
    parts = {part: rows for part, rows in _parts(job, data).items() if rows}
    rows = [row for part in parts.values() for _, row in part]
    measured = measure_pairs(
        rows,
        model=job.weights(checkpoint.location),
        reference=job.weights(reference.location),
        batch_size=2 * job.config.training.micro_batch_size,
        should_stop=job.heartbeat.should_stop,
        refinement_prompt=job.config.training.refinement_prompt,
        store=artifacts.reference_store(),
        **job.student_limits,
    )
    results = iter(measured)
    pairs_by_part: dict[str, list[tuple[int, MeasuredPair]]] = {}
    for part, pairs in parts.items():
        results_of_part = [(pair_id, next(results)) for pair_id, _ in pairs]
        pairs_by_part[part] = [(pair_id, pair) for pair_id, pair in results_of_part if pair is not None]
    artifacts.save_margins(job.attempt, checkpoint, pairs_by_part)
    for part, kept in pairs_by_part.items():
        if kept:
            events.log(job.run.pk, _sentence(checkpoint, part, [pair for _, pair in kept]))


def _parts(job: StageWork, data: list[Row]) -> dict[str, list[tuple[int, Row]]]:
    """Return the (pair id, row) tuples to measure, by part."""
    ids = job.iteration.snapshot.items.order_by("position").values_list("pair_id", flat=True)
    trained = list(zip(ids, data, strict=True))
    scored = [pair for pair in trained if None not in (pair[1].get("chosen_score"), pair[1].get("rejected_score"))]
    drawn = sorted(
        scored or trained,
        key=lambda pair: derive_seed(job.config.seed, "measured", str(pair[1]["prompt"]), str(pair[1]["chosen"])),
    )
    parts = {
        str(PairMargin.Part.TRAINING): drawn[:MEASURED_PAIRS],
        str(PairMargin.Part.HELD_OUT): selectors.held_out_pairs(job.iteration),
    }
    config = job.config.evaluation
    if config.enabled and config.pairs:
        dataset = Dataset.objects.get(name=config.pairs)
        parts[str(PairMargin.Part.EVALUATION)] = selectors.evaluation_pairs(
            job.run.pk, dataset, config.count, config.prompt_seed
        )
    return parts


def _sentence(checkpoint: Checkpoint, part: str, pairs: list[MeasuredPair]) -> str:
    figures = margin_figures(pairs)
    which = {"training": "training pairs", "held_out": "held-out pairs", "evaluation": "pairs of the evaluation set"}
    text = f"{checkpoint.name} puts {figures.accuracy:.1%} of {figures.pairs:,} {which[part]} in order"
    if figures.pearson is None:
        return f"{text}."
    return f"{text}; margin against score: Pearson {figures.pearson:.2f} over {figures.scored:,}."
