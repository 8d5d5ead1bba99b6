"""People's scores that can train a judge: which are used, which are left out, and their training rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Q, QuerySet

from alignment_app.models import Dataset, Judge, Judgement, Prompt
from labeling.models import Queue, Task
from training.config import RunConfig
from training.domain.eft import judge_reply
from training.domain.judges import Judge as JudgePrompt


@dataclass(frozen=True, slots=True)
class Corrections:
    """Number of scores that can train a judge, and of those left out by cause."""

    usable: int
    without_reason: int
    held_out: int


def _scored() -> QuerySet[Judgement]:
    """The human score in force of each response, from score queues and from pair queues with scores.

    The rationale of a score from a pair queue is the reason given for that response, not for the decision.
    """
    given = Judgement.objects.filter(source=Judgement.Source.HUMAN, judge__kind__in=Judge.PEOPLE)
    newest = given.values("response").order_by().annotate(newest=Max("pk")).values("newest")
    return Judgement.objects.filter(pk__in=newest)


def scores_of(queue: Queue) -> QuerySet[Judgement]:
    """Human scores in force of the items of one queue."""
    tasks = Task.objects.filter(queue=queue)
    return Judgement.objects.filter(
        Q(pk__in=tasks.filter(judgement__isnull=False).values("judgement"))
        | Q(pk__in=tasks.filter(second_judgement__isnull=False).values("second_judgement"))
    )


def scores_for(config: RunConfig) -> QuerySet[Judgement]:
    """The scores that ``sft.corrections`` selects; for ``none``, those that ``same_data`` would select."""
    scores = _scored()
    if config.sft.corrections != "all":
        names = [name for name in (config.prompts.dataset, config.candidates.from_dataset) if name]
        datasets = Dataset.objects.filter(Q(name__in=names) | Q(run__config__prompts__dataset__in=names))
        scores = scores.filter(response__prompt__dataset__in=datasets)
    return scores


def _measured_on(config: RunConfig | None) -> Q:
    """Condition for prompts that measure judges: those of held-out queues and of the run's evaluation.

    Prompts are compared by content hash.
    """
    out = Q(
        response__prompt__content_hash__in=Task.objects.filter(queue__held_out=True)
        .order_by()
        .values("prompt__content_hash")
    )
    if config and config.evaluation.enabled:
        tested = Prompt.objects.filter(dataset__name=config.evaluation.dataset)
        out |= Q(response__prompt__content_hash__in=tested.order_by().values("content_hash"))
    return out


def usable(scores: QuerySet[Judgement], config: RunConfig | None = None) -> QuerySet[Judgement]:
    """Scores with a reason on prompts that no judge is measured on, oldest first."""
    return scores.exclude(_measured_on(config)).exclude(rationale="").order_by("pk")


def count(scores: QuerySet[Judgement], config: RunConfig | None = None) -> Corrections:
    """Count the scores that can train a judge, and the others by cause."""
    free = scores.exclude(_measured_on(config))
    with_reason = free.exclude(rationale="").count()
    all_free = free.count()
    return Corrections(with_reason, all_free - with_reason, scores.count() - all_free)


def demonstrations(scores: QuerySet[Judgement], judge: JudgePrompt) -> Iterator[tuple[Judgement, str, str]]:
    """Yield each score with the judge prompt and the reply to learn (Yuan et al., 2024, section 3.1.1)."""
    for judgement in scores.select_related("response__prompt").iterator(chunk_size=500):
        assert judgement.score is not None
        prompt = judge.render(judgement.response.prompt.messages, judgement.response.text)
        yield judgement, prompt, judge_reply(judge, judgement.rationale, judgement.score)


def sft_rows(config: RunConfig, judge: JudgePrompt) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """Yield the rows that train the run's judge, in the trainer's format, each with the id of its judgement."""
    if config.sft.corrections == "none":
        return
    for judgement, prompt, reply in demonstrations(usable(scores_for(config), config), judge):
        row = {"messages": [{"role": "user", "content": prompt}], "completion": reply}
        for _ in range(config.sft.corrections_repeat):
            yield row, {"judgement_id": judgement.pk}
