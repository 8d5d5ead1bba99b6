"""People's scores that can train a judge: which there are, which stay out, and how each becomes a training row."""

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
    """What can be trained on, and what is left out."""

    usable: int
    without_reason: int
    held_out: int


def _scored() -> QuerySet[Judgement]:
    """People's scores in force, the one that counts of each response: in queues of scores, and beside the decisions on
    pairs. The reason of the latter is what was said of that response alone, not of the pair."""
    given = Judgement.objects.filter(source=Judgement.Source.HUMAN, judge__kind__in=Judge.PEOPLE)
    newest = given.values("response").order_by().annotate(newest=Max("pk")).values("newest")
    return Judgement.objects.filter(pk__in=newest)


def scores_of(queue: Queue) -> QuerySet[Judgement]:
    """People's scores in force on the items of one queue."""
    tasks = Task.objects.filter(queue=queue)
    return Judgement.objects.filter(
        Q(pk__in=tasks.filter(judgement__isnull=False).values("judgement"))
        | Q(pk__in=tasks.filter(second_judgement__isnull=False).values("second_judgement"))
    )


def scores_for(config: RunConfig) -> QuerySet[Judgement]:
    """The scores that a run of this config would choose from, by ``sft.corrections``, even where that is off."""
    found = _scored()
    if config.sft.corrections != "all":
        names = [name for name in (config.prompts.dataset, config.candidates.from_dataset) if name]
        datasets = Dataset.objects.filter(Q(name__in=names) | Q(run__config__prompts__dataset__in=names))
        found = found.filter(response__prompt__dataset__in=datasets)
    return found


def _measured_on(config: RunConfig | None) -> Q:
    """Prompts that never train a judge, by content: those of held-out queues, and those of the run's evaluation."""
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
    """Those with a reason, on prompts that no judge is measured on, in the order in which they were given."""
    return scores.exclude(_measured_on(config)).exclude(rationale="").order_by("pk")


def count(scores: QuerySet[Judgement], config: RunConfig | None = None) -> Corrections:
    """How many of these scores could train a judge, and why the others could not."""
    free = scores.exclude(_measured_on(config))
    with_reason = free.exclude(rationale="").count()
    all_free = free.count()
    return Corrections(with_reason, all_free - with_reason, scores.count() - all_free)


def demonstrations(scores: QuerySet[Judgement], judge: JudgePrompt) -> Iterator[tuple[Judgement, str, str]]:
    """Each score with the judge prompt and the reply that it teaches (001 section 3.1.1)."""
    for judgement in scores.select_related("response__prompt").iterator(chunk_size=500):
        assert judgement.score is not None
        prompt = judge.render(judgement.response.prompt.text, judgement.response.text)
        yield judgement, prompt, judge_reply(judge, judgement.rationale, judgement.score)


def sft_rows(config: RunConfig, judge: JudgePrompt) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """The corrections that a run trains its judge on, in the trainer's format, each with the score it came from."""
    if config.sft.corrections == "none":
        return
    for judgement, prompt, reply in demonstrations(usable(scores_for(config), config), judge):
        row = {"messages": [{"role": "user", "content": prompt}], "completion": reply}
        for _ in range(config.sft.corrections_repeat):
            yield row, {"judgement_id": judgement.pk}
