"""Texts of evaluation sets and training rows, which are compared for leakage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Count, Max, QuerySet

from alignment_app.models import Checkpoint, Dataset, Prompt, Response, SnapshotItem
from training.domain.leakage import EvaluationText, TrainingText

CHUNK = 2000


def conversation_text(messages: Iterable[dict[str, str]], text: str) -> str:
    """Return all turns of a prompt, or the raw ``text`` of a row without turns."""
    return "\n".join(message["content"] for message in messages) or text


def content_of(dataset: Dataset) -> str:
    """Return a short text that changes with the rows of a data set; rows are added and removed, never edited."""
    prompts = dataset.prompts.aggregate(n=Count("pk"), newest=Max("pk"))
    responses = _imported(dataset.prompts.all()).aggregate(n=Count("pk"), newest=Max("pk"))
    return "-".join(str(found[name] or 0) for found in (prompts, responses) for name in ("n", "newest"))


def row_count(dataset: Dataset) -> int:
    """Return the number of prompts and responses of a data set."""
    return dataset.prompts.count() + _imported(dataset.prompts.all()).count()


def evaluation_texts(prompts: QuerySet[Prompt]) -> list[EvaluationText]:
    """Return evaluation prompts with the answers that were imported with them."""
    answers = _answers(prompts)
    return [
        EvaluationText(pk, conversation_text(messages, text), tuple(answers.get(pk, ())))
        for pk, messages, text in prompts.order_by("position", "pk").values_list("pk", "messages", "text")
    ]


def held_out_texts(names: Iterable[str]) -> list[str]:
    """Return the distinct prompts of the data sets with these names."""
    rows = Prompt.objects.filter(dataset__name__in=names).exclude(messages=[]).order_by("dataset", "position", "pk")
    return list(
        dict.fromkeys(conversation_text(messages, text) for messages, text in rows.values_list("messages", "text"))
    )


def dataset_texts(dataset: Dataset) -> Iterator[TrainingText]:
    """Yield every row of a data set as training text."""
    answers = _answers(dataset.prompts.all())
    for pk, messages, text in dataset.prompts.values_list("pk", "messages", "text").iterator(CHUNK):
        yield TrainingText(conversation_text(messages, text), tuple(answers.get(pk, ())))


def training_texts(checkpoint: Checkpoint) -> Iterator[TrainingText]:
    """Yield the rows that a checkpoint, and the checkpoints that it was trained from, were trained on."""
    snapshots = []
    ancestor: Checkpoint | None = checkpoint
    while ancestor is not None:
        snapshots.append(ancestor.snapshot_id)
        ancestor = ancestor.parent
    items: QuerySet[Any] = SnapshotItem.objects.filter(snapshot__in=[pk for pk in snapshots if pk])
    for prompt, responses in (
        ("pair__prompt", ("pair__chosen__text", "pair__rejected__text")),
        ("response__prompt", ("response__text",)),
        ("judgement__response__prompt", ("judgement__response__text",)),
    ):
        rows = items.filter(**{f"{prompt}__isnull": False}).order_by()
        for messages, text, *texts in rows.values_list(f"{prompt}__messages", f"{prompt}__text", *responses).iterator(
            CHUNK
        ):
            yield TrainingText(conversation_text(messages, text), tuple(texts))


def _answers(prompts: QuerySet[Prompt]) -> dict[int, list[str]]:
    """Return the imported answers of prompts, by prompt id."""
    found: dict[int, list[str]] = defaultdict(list)
    for prompt, text in _imported(prompts).order_by("pk").values_list("prompt", "text").iterator(CHUNK):
        found[prompt].append(text)
    return found


def _imported(prompts: QuerySet[Prompt]) -> QuerySet[Response]:
    return Response.objects.filter(prompt__in=prompts.order_by().values("pk"), iteration__isnull=True)
