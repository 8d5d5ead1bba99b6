"""Leakage between the data sets of a config: computed once per content, and stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.utils import timezone

from alignment_app.models import Dataset, LeakageReport
from alignment_app.selectors import leakage as selectors
from alignment_app.services import queues
from training.config import RunConfig
from training.config.datasets import compared_datasets
from training.domain.leakage import PASSAGE_WORDS, Leakage, find_leakage

#: Rows of both data sets up to which the web process compares them itself, in well under a second; more are a job.
DIRECT_ROWS: Final = 1500
#: Time after which an unanswered job is enqueued again: the queue server may have lost it.
ASK_AGAIN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SetLeakage:
    """Leakage of the evaluation set ``evaluation`` into ``training``; ``found`` is ``None`` while it is computed.

    ``field`` is the dotted field that names the evaluation set.
    """

    field: str
    evaluation: str
    training: str
    found: Leakage | None

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        found = self.found
        if found is None:
            return f"{self.evaluation} is being compared with {self.training}."
        near = f" {found.near:,} are worded like one of its prompts." if found.near else ""
        if not found.contained:
            return f"No prompt of {self.evaluation} occurs in {self.training}.{near}"
        parts = [
            f"{count:,} {words}"
            for count, words in (
                (found.same, "the same"),
                (found.passage, f"by {PASSAGE_WORDS} consecutive words in a response"),
            )
            if count
        ]
        verb = "occurs" if found.contained == 1 else "occur"
        return (
            f"{found.contained:,} of the {found.prompts:,} prompts of {self.evaluation} {verb} in {self.training}: "
            f"{', '.join(parts)}.{near}"
        )


def of_config(config: RunConfig, *, at_once: bool = False) -> list[SetLeakage]:
    """Return the leakage of each evaluation set of a config into each of its training sets, as far as it is known.

    What is not known is computed here if it is small or ``at_once``, else by a job on the queue ``light``. A data set
    that is used for both is left out: all of it leaks, and the launch page says so.
    """
    return list(_of_config(config, at_once))


def _of_config(config: RunConfig, at_once: bool) -> Iterator[SetLeakage]:
    pairs = [pair for pair in compared_datasets(config) if pair.evaluation != pair.training]
    names = {name for pair in pairs for name in (pair.evaluation, pair.training)}
    sets = {one.name: one for one in Dataset.objects.filter(name__in=names)}
    contents = {name: selectors.content_of(one) for name, one in sets.items()}
    for pair in pairs:
        if pair.evaluation in sets and pair.training in sets:
            content = f"{contents[pair.evaluation]}/{contents[pair.training]}"
            found = _known(sets[pair.evaluation], sets[pair.training], content, at_once)
            yield SetLeakage(pair.field, pair.evaluation, pair.training, found)


def _known(evaluation: Dataset, training: Dataset, content: str, at_once: bool) -> Leakage | None:
    report = LeakageReport.objects.filter(evaluation=evaluation, training=training).first()
    is_current = report is not None and report.content == content
    if report is not None and is_current and report.result is not None:
        return Leakage.from_data(report.result)
    if at_once or selectors.row_count(evaluation) + selectors.row_count(training) <= DIRECT_ROWS:
        return compare(evaluation, training)
    if report is None or not is_current or report.asked_at < timezone.now() - ASK_AGAIN:
        LeakageReport.objects.update_or_create(
            evaluation=evaluation,
            training=training,
            defaults={"content": content, "result": None, "asked_at": timezone.now()},
        )
        queues.enqueue_leakage(evaluation.pk, training.pk)
    return None


def compare(evaluation: Dataset, training: Dataset) -> Leakage:
    """Compare two data sets by content and store the result."""
    content = f"{selectors.content_of(evaluation)}/{selectors.content_of(training)}"
    found = find_leakage(
        selectors.evaluation_texts(evaluation.prompts.exclude(messages=[])), selectors.dataset_texts(training)
    )
    LeakageReport.objects.update_or_create(
        evaluation=evaluation, training=training, defaults={"content": content, "result": found.as_data()}
    )
    return found
