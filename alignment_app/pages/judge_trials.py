"""Choices for a judge trial: stored responses and judge models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Count

from alignment_app.models import Checkpoint, Dataset, Prompt, Response, Run
from alignment_app.pages.runs import short_model

SHOWN: Final = 10
MOST_SCANNED: Final = 200  # responses read from the database, before duplicates are removed
#: Limits how long a trial occupies the interactive queue.
MOST_ITEMS: Final = 5
MOST_RUNS: Final = 40
#: Names of the models of a run other than its checkpoints.
ROLES: Final[dict[str, str]] = {
    "teacher": "teacher",
    "evaluator": "evaluator",
    "stopping_judge": "judge of early stopping",
}


@dataclass(frozen=True, slots=True)
class TrialItem:
    """A stored response to score, or two responses to one prompt to compare."""

    prompt: Prompt
    responses: tuple[Response, ...]

    @property
    def value(self) -> str:
        """The form value: response ids joined by "-"."""
        return "-".join(str(response.pk) for response in self.responses)


def sources() -> list[tuple[str, str]]:
    """Return (value, label) of runs and data sets with responses: runs first, then scored data sets, then others."""
    runs = Run.objects.filter(iterations__responses__isnull=False).distinct().order_by("-pk")[:20]
    sets = Dataset.objects.filter(prompts__responses__iteration__isnull=True, prompts__responses__isnull=False)
    found = [(f"run:{run.pk}", f"run {run.pk}: {run.name}") for run in runs]
    ordered = sorted(sets.distinct().order_by("name")[:40], key=lambda one: one.kind != Dataset.Kind.SCORED)
    return found + [(f"data:{one.pk}", one.name) for one in ordered]


def items(source: str, query: str, *, compares: bool) -> list[TrialItem]:
    """Return the first distinct responses of a run or data set.

    :param source: a value of :func:`sources`.
    :param query: only responses whose prompt contains this text.
    :param compares: return pairs of responses for a comparing judge.
    """
    kind, _, number = source.partition(":")
    found = Response.objects.exclude(prompt__messages=[])
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        return []
    if kind == "run":
        found = found.filter(iteration__run=int(number)).exclude(purpose=Response.Purpose.TARGET)
    else:
        found = found.filter(prompt__dataset=int(number), iteration__isnull=True)
    if query.strip():
        found = found.filter(prompt__text__icontains=query.strip())
    if not compares:
        rows = found.select_related("prompt").order_by("prompt_id", "pk")[:MOST_SCANNED]
        distinct = {(row.prompt_id, row.text): row for row in reversed(rows)}  # keeps the first of equal texts
        ordered = sorted(distinct.values(), key=lambda row: row.prompt_id)
        return [TrialItem(row.prompt, (row,)) for row in ordered][:SHOWN]
    prompts = found.values("prompt").annotate(n=Count("text", distinct=True)).filter(n__gte=2).order_by("prompt")
    pairs = []
    for prompt_id in [row["prompt"] for row in prompts[:SHOWN]]:
        first, *rest = found.filter(prompt=prompt_id).select_related("prompt").order_by("pk")
        other = next(row for row in rest if row.text != first.text)
        pairs.append(TrialItem(first.prompt, (first, other)))
    return pairs


def chosen(values: Sequence[str], *, compares: bool) -> list[TrialItem]:
    """Return the items for form values. Unknown or deleted ones are skipped."""
    found = []
    for value in values[:MOST_ITEMS]:
        numbers = [int(part) for part in value.split("-") if part.isascii() and part.isdigit() and len(part) < 16]
        rows = Response.objects.select_related("prompt").in_bulk(numbers)
        responses = tuple(rows[number] for number in numbers if number in rows)
        if len(responses) == (2 if compares else 1) and len({row.prompt_id for row in responses}) == 1:
            found.append(TrialItem(responses[0].prompt, responses))
    return found


def judge_models() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (run, [(value, label)]) of the checkpoints and teachers that can judge.

    The newest checkpoint of a run comes first. Runs with M0 only come last.
    """
    groups = []
    runs = [
        (run, sorted(run.checkpoints.all(), key=lambda one: -one.number))
        for run in Run.objects.prefetch_related("checkpoints")[:MOST_RUNS]
    ]
    for run, checkpoints in sorted(runs, key=lambda one: not any(checkpoint.number for checkpoint in one[1])):
        if not checkpoints:
            continue
        options = [(f"checkpoint:{one.pk}", f"{one.name} of run {run.pk}") for one in checkpoints]
        for role, section in run.typed_config.models().items():
            if section.entry.implementation:  # a verifier reads no judge prompt
                name = f"{ROLES[role]} of run {run.pk}, {short_model(section.label)}"
                options.append((f"{role}:{checkpoints[0].pk}", name))
        groups.append((f"{run.name} (run {run.pk})", options))
    return groups


def engine_of(value: str) -> tuple[Checkpoint, str] | None:
    """Return (checkpoint, role of the model of its run that judges instead) for a form value; ``None`` if invalid.

    The role is a section of the config, such as "teacher", or "" for the checkpoint itself.
    """
    kind, _, number = value.partition(":")
    if kind not in ("checkpoint", *ROLES) or not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    checkpoint = Checkpoint.objects.select_related("run").filter(pk=int(number)).first()
    return (checkpoint, kind if kind in ROLES else "") if checkpoint else None
