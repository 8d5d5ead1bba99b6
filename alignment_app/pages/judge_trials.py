"""What a judge can be tried on: stored responses, and who may be asked to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Count

from alignment_app.models import Checkpoint, Dataset, Prompt, Response, Run
from alignment_app.pages.runs import short_model

SHOWN: Final = 10
LOOKED_AT: Final = 200  # responses, among which those that say the same are shown once
#: More would keep whoever else asks waiting for long.
MOST_ITEMS: Final = 5
MOST_RUNS: Final = 40


@dataclass(frozen=True, slots=True)
class Item:
    """A stored response to be judged; for a judge that compares, two to the same prompt."""

    prompt: Prompt
    responses: tuple[Response, ...]

    @property
    def value(self) -> str:
        """How a form names it."""
        return "-".join(str(response.pk) for response in self.responses)


def sources() -> list[tuple[str, str]]:
    """(value, label) of runs and data sets that hold responses, those of them first whose responses have scores."""
    runs = Run.objects.filter(iterations__responses__isnull=False).distinct().order_by("-pk")[:20]
    sets = Dataset.objects.filter(prompts__responses__iteration__isnull=True, prompts__responses__isnull=False)
    found = [(f"run:{run.pk}", f"run {run.pk}: {run.name}") for run in runs]
    ordered = sorted(sets.distinct().order_by("name")[:40], key=lambda one: one.kind != Dataset.Kind.SCORED)
    return found + [(f"data:{one.pk}", one.name) for one in ordered]


def items(source: str, query: str, *, compares: bool) -> list[Item]:
    """The first different stored responses of a run or data set whose prompt holds ``query``."""
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
        rows = found.select_related("prompt").order_by("prompt_id", "pk")[:LOOKED_AT]
        different = {(row.prompt_id, row.text): row for row in reversed(rows)}  # the first of those that are alike
        return [Item(row.prompt, (row,)) for row in sorted(different.values(), key=lambda row: row.prompt_id)][:SHOWN]
    prompts = found.values("prompt").annotate(n=Count("text", distinct=True)).filter(n__gte=2).order_by("prompt")
    pairs = []
    for prompt_id in [row["prompt"] for row in prompts[:SHOWN]]:
        first, *rest = found.filter(prompt=prompt_id).select_related("prompt").order_by("pk")
        other = next(row for row in rest if row.text != first.text)
        pairs.append(Item(first.prompt, (first, other)))
    return pairs


def chosen(values: Sequence[str], *, compares: bool) -> list[Item]:
    """The items that a form names; what is not there (any more) is left out."""
    found = []
    for value in values[:MOST_ITEMS]:
        numbers = [int(part) for part in value.split("-") if part.isascii() and part.isdigit() and len(part) < 16]
        rows = Response.objects.select_related("prompt").in_bulk(numbers)
        responses = tuple(rows[number] for number in numbers if number in rows)
        if len(responses) == (2 if compares else 1) and len({row.prompt_id for row in responses}) == 1:
            found.append(Item(responses[0].prompt, responses))
    return found


def who_judges() -> list[tuple[str, list[tuple[str, str]]]]:
    """(run, [(value, label)]) of checkpoints and teachers that may be asked, the newest model that was trained first.

    Within a run the newest model is first; runs that have none but M0 yet come last.
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
        teacher = run.typed_config.teacher
        if teacher.exists:
            name = short_model(teacher.label)
            options.append((f"teacher:{checkpoints[0].pk}", f"the teacher of run {run.pk}, {name}"))
        groups.append((f"{run.name} (run {run.pk})", options))
    return groups


def engine_of(value: str) -> tuple[Checkpoint, bool] | None:
    """(checkpoint, whether its run's teacher is meant) of a form's value."""
    kind, _, number = value.partition(":")
    if kind not in ("checkpoint", "teacher") or not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    checkpoint = Checkpoint.objects.select_related("run").filter(pk=int(number)).first()
    return (checkpoint, kind == "teacher") if checkpoint else None
