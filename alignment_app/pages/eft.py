"""Judge training data (EFT) on the run page: the steps that select it, and the ranking agreement of the judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from alignment_app.models import Checkpoint, Dataset, Run
from alignment_app.pages.figures import Figure, figure_of
from alignment_app.pages.wording import number, percent
from alignment_app.selectors.runs import stages_of
from alignment_app.services.eft_rows import name_of
from training.domain.alarms import Health
from training.domain.eft import Part
from training.domain.ranking import RankAgreement
from training.evaluation.ranking_agreement import PREFIX, RankingAgreement
from training.plan import EFT, RANKED_JUDGEMENTS, RANKED_PROMPTS
from training.plan.judging_rows import EFTProgress, EFTResult, RankedPromptsResult
from training.plan.spec import HealthData


@dataclass(frozen=True, slots=True)
class RankingTable:
    """Ranking agreement of a run's judges.

    ``columns`` are (name, URL) pairs, ``rows`` (metric, figures) pairs. ``gains`` are sentences on the change of each
    model's judge compared with the model before EFT.
    """

    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Figure]]]
    prompts: int
    gains: list[str]


def ranking_table(run: Run, before: RankAgreement | None) -> RankingTable | None:
    """Return the judges of a loaded run on held-out rankings.

    :param before: ranking metrics of the model before EFT; without them there is no table.
    """
    if not before:
        return None
    measured: list[tuple[Checkpoint, dict[str, Any]]] = [
        (checkpoint, checkpoint.evaluation.metrics)
        for checkpoint in run.checkpoints.all()
        if hasattr(checkpoint, "evaluation") and "ranking_pairs" in checkpoint.evaluation.metrics
    ]
    columns = [("IFT alone", "")]
    values: list[dict[str, Any]] = [{f"{PREFIX}{name}": value for name, value in before.as_data().items()}]
    for checkpoint, metrics in measured:
        columns.append((checkpoint.name, reverse("checkpoint-judgements", args=[checkpoint.pk]) + "?on=rankings"))
        values.append(metrics)
    rows = [
        (metric.name, [figure_of(metric, one) for one in values])
        for metric in RankingAgreement.metrics
        if any(metric.value(one) is not None for one in values)
    ]
    gains = [_gain(checkpoint.name, metrics) for checkpoint, metrics in measured]
    return RankingTable(columns, rows, before.prompts, [gain for gain in gains if gain])


def _gain(name: str, metrics: dict[str, Any]) -> str:
    gain, low, high = (metrics.get(f"{PREFIX}{key}") for key in ("gain", "gain_low", "gain_high"))
    if gain is None or low is None or high is None:
        return ""
    moved = (
        f"{'+' if gain > 0 else ''}{number(100 * gain, 1)} points ({number(100 * low, 1)} to {number(100 * high, 1)})"
    )
    conclusion = "better" if low > 0 else "worse" if high < 0 else "no significant change"
    return f"{name} against IFT alone: {moved}, {conclusion}."


@dataclass(frozen=True, slots=True)
class EFTSteps:
    """The selection of judge training data: (label, count, URL of the rows) of each step."""

    dataset: str
    steps: list[tuple[str, str, str]]
    judges: RankingTable | None


def eft_of(run: Run) -> EFTSteps | None:
    """Return the selection steps of a loaded run that have started, or ``None`` without EFT."""
    stages = {stage.kind: stage for stage in stages_of(run) if stage.iteration.number == 0}
    if EFT.kind not in stages:
        return None
    prompts = stages[RANKED_PROMPTS.kind]
    chosen = RankedPromptsResult.read(prompts.result)
    if not chosen.ranked:
        return None
    judging = stages[RANKED_JUDGEMENTS.kind].figures()
    judged = judging.health.get("judge") if isinstance(judging, HealthData) else None
    eft = stages[EFT.kind]
    found = EFTResult.read(eft.result).selection or EFTProgress.read(eft.progress).selection
    rows = reverse("run-samples", args=[run.pk]) + "?iteration=0&stage="
    judged_rows = rows + RANKED_JUDGEMENTS.kind
    steps = [("Ranked prompts", number(chosen.ranked), "")]
    if chosen.overlapping:
        steps.append(("Excluded: also in IFT data", number(chosen.overlapping), ""))
    steps.append(("Prompts judged", number(prompts.done), rows + RANKED_PROMPTS.kind))
    if isinstance(judged, Health):
        replies, parsed = judged.replies, judged.parsed
        steps.append(("Replies so far" if not found else "Replies", number(replies), judged_rows))
        share = percent(parsed / replies, 1) if replies else ""
        steps.append(("Parsed replies", f"{number(parsed)}, {share}", judged_rows + "&show=unparsed"))
    if found:
        share = percent(found.agreeing_prompts / found.prompts, 1) if found.prompts else ""
        agreeing = f"{number(found.agreeing_prompts)} prompts, {share}"
        steps.append(("Agreeing with human rankings", agreeing, f"{rows}{EFT.kind}&show=agrees"))
        steps.append(("Their judgements", number(found.agreeing), ""))
        if found.thinned:
            label = f"Removed to balance score {number(found.common_score)}"
            steps.append((label, number(found.thinned), ""))
        steps.append(("Training rows", number(found.train), _data_set(run, "train")))
        steps.append(("Evaluation rows", number(found.eval), _data_set(run, "eval")))
    return EFTSteps(chosen.dataset, steps, ranking_table(run, EFTResult.read(eft.result).ranking))


def _data_set(run: Run, part: Part) -> str:
    found = Dataset.objects.filter(name=name_of(run.pk, part)).first()
    return reverse("dataset", args=[found.pk]) if found else ""
