"""The rows that teach judging, for the run page: how they came about, and what became of the judges they taught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from alignment_app.models import Checkpoint, Dataset, Run
from alignment_app.pages.wording import number, percent, written
from alignment_app.selectors.runs import stages_of
from alignment_app.services.eft_rows import name_of
from training.domain.eft import Part
from training.evaluation.ranking_agreement import PREFIX, RankingAgreement
from training.plan import EFT, RANKED_JUDGEMENTS, RANKED_PROMPTS
from training.plan.judging_rows import EFTProgress, EFTResult, RankedPromptsResult
from training.plan.spec import HealthData


@dataclass(frozen=True, slots=True)
class Judges:
    """The judges of a run held to people's rankings: (name, its page) of each, a row of cells for each measure.

    ``gains`` are sentences on what a model's judge moved by against the one before EFT.
    """

    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[str]]]
    prompts: int
    gains: list[str]


def judges_of(run: Run, before: dict[str, Any] | None) -> Judges | None:
    """The judges of a loaded run on the held-out rankings; ``before``: the figures of the model before EFT."""
    if not before:
        return None
    measured: list[tuple[Checkpoint, dict[str, Any]]] = [
        (checkpoint, checkpoint.evaluation.metrics)
        for checkpoint in run.checkpoints.all()
        if hasattr(checkpoint, "evaluation") and "ranking_pairs" in checkpoint.evaluation.metrics
    ]
    columns = [("IFT alone", "")]
    values: list[dict[str, Any]] = [{f"{PREFIX}{name}": value for name, value in before.items()}]
    for checkpoint, metrics in measured:
        columns.append((checkpoint.name, reverse("checkpoint-judgements", args=[checkpoint.pk]) + "?on=rankings"))
        values.append(metrics)
    rows = [
        (metric.name, [written(metric.value(one), metric.format) for one in values])
        for metric in RankingAgreement.metrics
    ]
    gains = [_gain(checkpoint.name, metrics) for checkpoint, metrics in measured]
    return Judges(columns, rows, before["prompts"], [gain for gain in gains if gain])


def _gain(name: str, metrics: dict[str, Any]) -> str:
    gain, low, high = (metrics.get(f"{PREFIX}{key}") for key in ("gain", "gain_low", "gain_high"))
    if gain is None or low is None or high is None:
        return ""
    moved = (
        f"{'+' if gain > 0 else ''}{number(100 * gain, 1)} points ({number(100 * low, 1)} to {number(100 * high, 1)})"
    )
    told = "better" if low > 0 else "worse" if high < 0 else "no certain change"
    return f"{name} against IFT alone: {moved}, {told}."


@dataclass(frozen=True, slots=True)
class EFTSteps:
    """How the rows that teach judging came about: (what, how many, the rows) of each step."""

    dataset: str
    steps: list[tuple[str, str, str]]
    judges: Judges | None


def eft_of(run: Run) -> EFTSteps | None:
    """The steps of a loaded run that builds such rows, as far as they have come."""
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
        steps.append(("Left out, in the IFT data sets too", number(chosen.overlapping), ""))
    steps.append(("Prompts judged", number(prompts.done), rows + RANKED_PROMPTS.kind))
    if judged:
        replies, parsed = judged["replies"], judged["parsed"]
        steps.append(("Replies asked for, so far" if not found else "Replies", number(replies), judged_rows))
        share = percent(parsed / replies, 1) if replies else ""
        steps.append(("Replies that held a score", f"{number(parsed)}, {share}", judged_rows + "&show=unparsed"))
    if found:
        share = percent(found.agreeing_prompts / found.prompts, 1) if found.prompts else ""
        agreeing = f"{number(found.agreeing_prompts)} prompts, {share}"
        steps.append(("Rankings that agree with people's", agreeing, f"{rows}{EFT.kind}&show=agrees"))
        steps.append(("Judgements in them", number(found.agreeing), ""))
        if found.thinned:
            label = f"Thinned out, of the most common score {number(found.common_score)}"
            steps.append((label, number(found.thinned), ""))
        steps.append(("Kept to train on", number(found.train), _data_set(run, "train")))
        steps.append(("Held out to measure on", number(found.eval), _data_set(run, "eval")))
    return EFTSteps(chosen.dataset, steps, judges_of(run, EFTResult.read(eft.result).ranking))


def _data_set(run: Run, part: Part) -> str:
    found = Dataset.objects.filter(name=name_of(run.pk, part)).first()
    return reverse("dataset", args=[found.pk]) if found else ""
