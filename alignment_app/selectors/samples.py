"""Sample rows of an iteration: candidates, scores with raw replies, and pairs with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Length

from alignment_app.models import (
    Comparison,
    Iteration,
    IterationPrompt,
    Judgement,
    PreferencePair,
    Prompt,
    RejectedPrompt,
    Response,
    Run,
    SnapshotItem,
    Stage,
)
from alignment_app.selectors.scores import by_judge, rule_of
from training.domain.rows import AGREEING, PromptOutcome
from training.domain.scores import SAME_SCORE

PAGE: Final = 10
Mark = Literal["chosen", "rejected", ""]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response with its judgements and its role in the pair."""

    response: Response
    mark: Mark
    judgements: list[Judgement]
    rank: float | None = None  #: human rank among the responses to the prompt, 1 is best

    @property
    def author(self) -> str:
        """The author, if not the student."""
        if self.response.source == Response.Source.STUDENT:
            return ""
        return self.response.author or self.response.get_source_display().lower()


@dataclass(frozen=True, slots=True)
class PromptSample:
    """A prompt of an iteration with its rows so far."""

    prompt: Prompt
    iteration: Iteration
    candidates: list[Candidate]
    pair: PreferencePair | None
    outcome: str  #: why the prompt gave a pair or no pair; empty until known
    outcome_code: str  #: the same as a :class:`training.domain.rows.PromptOutcome`


@dataclass(frozen=True, slots=True)
class ComparisonSample:
    """Two checkpoints' answers to one held-out prompt."""

    comparison: Comparison
    newer: list[Judgement]
    older: list[Judgement]


def latest(run: Run) -> PromptSample | None:
    """Return the newest iteration's most advanced prompt: last paired, else last judged, else last answered."""
    for iteration in run.iterations.order_by("-number"):
        pairs = PreferencePair.objects.filter(iteration=iteration)
        used = iteration.iteration_prompts.filter(role=IterationPrompt.Role.TRAIN)
        judgements = Judgement.objects.filter(
            iteration=iteration, response__purpose__in=_IN_PAIRS, response__prompt__in=used.values("prompt")
        )
        responses = Response.objects.filter(iteration=iteration, purpose__in=_IN_PAIRS)
        for rows, prompt in ((pairs, "prompt_id"), (judgements, "response__prompt_id"), (responses, "prompt_id")):
            row = rows.order_by("-pk").values_list(prompt).first()
            if row is not None:
                return next(iter(prompt_samples(iteration, [row[0]])), None)
    return None


_IN_PAIRS = (Response.Purpose.CANDIDATE, Response.Purpose.DEMONSTRATION)


def prompt_samples(iteration: Iteration, prompt_ids: Sequence[int]) -> list[PromptSample]:
    """Return the prompts in the given order, in five queries."""
    prompts = Prompt.objects.in_bulk(prompt_ids)
    pairs: dict[int, PreferencePair] = {}
    for pair in PreferencePair.objects.filter(iteration=iteration, prompt__in=prompt_ids).order_by("-pk"):
        pairs[pair.prompt_id] = pair
    paired = [response for pair in pairs.values() for response in (pair.chosen_id, pair.rejected_id)]
    responses: dict[int, list[Response]] = defaultdict(list)
    # Candidate responses of a data set belong to no iteration.
    recorded = iteration.number == 0 or iteration.run.typed_config.uses_recorded_responses
    its_own = Q(iteration__isnull=True) if recorded else Q(iteration=iteration)
    found = Response.objects.filter(Q(its_own, prompt__in=prompt_ids, purpose__in=_IN_PAIRS) | Q(pk__in=paired))
    for response in found.order_by("prompt_id", "purpose", "index"):
        responses[response.prompt_id].append(response)
    judged = judgements_of((row.pk for rows in responses.values() for row in rows), iteration.run_id)
    uses = IterationPrompt.objects.filter(
        iteration=iteration, prompt__in=prompt_ids, role=IterationPrompt.Role.TRAIN
    ).values_list("prompt_id", "outcome", "outcome_code")
    outcomes = {prompt_id: (outcome, code) for prompt_id, outcome, code in uses}
    return [
        PromptSample(
            prompt=prompts[prompt_id],
            iteration=iteration,
            candidates=[
                Candidate(
                    row, _mark(row, pairs.get(prompt_id)), judged[row.pk], _rank(row, prompts[prompt_id], iteration)
                )
                for row in responses[prompt_id]
            ],
            pair=pairs.get(prompt_id),
            outcome=outcomes.get(prompt_id, ("", ""))[0] or (pairs[prompt_id].reason if prompt_id in pairs else ""),
            outcome_code=outcomes.get(prompt_id, ("", ""))[1] or (PromptOutcome.PAIR if prompt_id in pairs else ""),
        )
        for prompt_id in prompt_ids
        if prompt_id in prompts
    ]


def _rank(response: Response, prompt: Prompt, iteration: Iteration) -> float | None:
    """Human ranks are shown only in iteration 0, where ranking agreement is measured."""
    ranks = prompt.meta.get("ranks", []) if iteration.number == 0 else []
    return ranks[response.index] if response.index < len(ranks) else None


def _mark(response: Response, pair: PreferencePair | None) -> Mark:
    if pair is None:
        return ""
    if response.pk == pair.chosen_id:
        return "chosen"
    return "rejected" if response.pk == pair.rejected_id else ""


def judgements_of(response_ids: Iterable[int], run_id: int | None = None) -> dict[int, list[Judgement]]:
    """Return the judgements of each response: self, teacher, human, reference.

    Data set responses are shared by runs, so judgements by models are limited to imported ones and those of the run.
    """
    order = [Judgement.Source.SELF, Judgement.Source.TEACHER, Judgement.Source.HUMAN, Judgement.Source.REFERENCE]
    found: dict[int, list[Judgement]] = defaultdict(list)
    theirs = Q(iteration__isnull=True) | Q(source=Judgement.Source.HUMAN)
    if run_id is not None:
        theirs |= Q(iteration__run=run_id)
    for judgement in (
        Judgement.objects.filter(theirs, response__in=list(response_ids)).select_related("judge").order_by("pk")
    ):
        found[judgement.response_id].append(judgement)
    for rows in found.values():
        rows.sort(key=lambda row: order.index(Judgement.Source(row.source)))
    return found


def prompts_page(iteration: Iteration, query: str = "", show: str = "", page: Any = 1) -> Page[PromptSample]:
    """Return a page of an iteration's prompts with their rows, in order."""
    uses = IterationPrompt.objects.filter(iteration=iteration, role=IterationPrompt.Role.TRAIN)
    found: QuerySet[Prompt]
    if uses.exists():
        found = Prompt.objects.filter(uses__in=uses).order_by("uses__position")
    else:
        found = Prompt.objects.filter(Exists(PreferencePair.objects.filter(iteration=iteration, prompt=OuterRef("pk"))))
    if query.strip():
        found = found.filter(text__icontains=query.strip())
    pairs = PreferencePair.objects.filter(iteration=iteration, prompt=OuterRef("pk"))
    judgements = Judgement.objects.filter(
        Q(response__iteration=iteration) | Q(response__iteration__isnull=True), response__prompt=OuterRef("pk")
    )
    if show == "pair":
        found = found.filter(Exists(pairs))
    elif show == "none":
        without = uses.exclude(outcome="").filter(prompt=OuterRef("pk"))
        found = found.filter(~Exists(pairs), Exists(without))
    elif show == "unparsed":
        found = found.filter(Exists(judgements.filter(score__isnull=True)))
    elif show == "waiting":
        found = found.filter(~Exists(judgements))
    elif show == "agrees":
        found = found.filter(Exists(uses.filter(prompt=OuterRef("pk"), outcome_code__in=AGREEING)))
    elif show in ("alike", "longest"):
        counting = judgements.filter(by_judge(rule_of(iteration)), response__purpose__in=_IN_PAIRS)
        found = _by_scores(found, counting.filter(score__isnull=False), show)
    pages: Page[Any] = Paginator(found.values_list("pk", flat=True), PAGE).get_page(page)
    pages.object_list = prompt_samples(iteration, list(pages.object_list))
    return pages


def _by_scores(prompts: QuerySet[Prompt], judgements: QuerySet[Judgement], show: str) -> QuerySet[Prompt]:
    """Filter prompts whose responses all have one score, or whose longest response has the highest score."""
    judgements = judgements.annotate(length=Length("response__text"))
    prompts = prompts.annotate(
        top=Subquery(judgements.order_by("-score").values("score")[:1]),
        bottom=Subquery(judgements.order_by("score").values("score")[:1]),
        longest=Subquery(judgements.order_by("-length", "score").values("score")[:1]),
    )
    if show == "alike":
        return prompts.filter(top__lte=F("bottom") + SAME_SCORE)
    return prompts.filter(top__gt=F("bottom") + SAME_SCORE, longest__gte=F("top") - SAME_SCORE)


def comparisons_page(iteration: Iteration, query: str = "", show: str = "", page: Any = 1) -> Page[ComparisonSample]:
    """Return a page of head-to-head comparisons of an iteration's checkpoint."""
    found = Comparison.objects.filter(evaluation__checkpoint__iteration=iteration).select_related(
        "prompt", "response", "against", "evaluation__checkpoint", "evaluation__against"
    )
    if query.strip():
        found = found.filter(prompt__text__icontains=query.strip())
    if show == "changed":
        kept = Q(verdict_first="tie", verdict_second="tie")
        for one, other in (("first", "second"), ("second", "first")):
            kept |= Q(verdict_first=one, verdict_second=other)
        found = found.exclude(kept).exclude(verdict_first="unparsed").exclude(verdict_second="unparsed")
    elif show in Comparison.Outcome.values:
        found = found.filter(outcome=show)
    pages: Page[Any] = Paginator(found, PAGE).get_page(page)
    rows = list(pages.object_list)
    judged = judgements_of((pk for row in rows for pk in (row.response_id, row.against_id)), iteration.run_id)
    pages.object_list = [ComparisonSample(row, judged[row.response_id], judged[row.against_id]) for row in rows]
    return pages


def answers_page(iteration: Iteration, query: str = "", page: Any = 1) -> Page[PromptSample]:
    """Return a page of evaluation answers without a comparison, as for the first evaluated checkpoint."""
    found = Response.objects.filter(iteration=iteration, purpose=Response.Purpose.EVALUATION).select_related("prompt")
    if query.strip():
        found = found.filter(prompt__text__icontains=query.strip())
    pages: Page[Any] = Paginator(found.order_by("pk"), PAGE).get_page(page)
    rows = list(pages.object_list)
    judged = judgements_of((row.pk for row in rows), iteration.run_id)
    pages.object_list = [
        PromptSample(row.prompt, iteration, [Candidate(row, "", judged[row.pk])], None, "", "") for row in rows
    ]
    return pages


def snapshot_page(iteration: Iteration, query: str = "", page: Any = 1) -> Page[SnapshotItem]:
    """Return a page of the rows of an iteration's training set."""
    found = SnapshotItem.objects.filter(snapshot__iteration=iteration).select_related(
        "pair__prompt", "pair__chosen", "pair__rejected", "response__prompt", "snapshot"
    )
    if query.strip():
        words = query.strip()
        found = found.filter(Q(pair__prompt__text__icontains=words) | Q(response__prompt__text__icontains=words))
    return Paginator(found.order_by("position"), PAGE).get_page(page)


@dataclass(frozen=True, slots=True)
class RemovedExample:
    """A candidate removed by a filter, with its frequency. ``why``: the matched word or similar prompt."""

    text: str
    times: int
    why: str
    rouge_l: float | None


@dataclass(frozen=True, slots=True)
class FilterView:
    """The prompts removed by one self-instruct filter."""

    reason: str
    count: int
    examples: list[RemovedExample]


REMOVED_EXAMPLES: Final = 3


def removed_prompts(iteration: Iteration) -> list[FilterView]:
    """Return each filter with the number of removed candidates, largest first, and some distinct examples."""
    counts = iteration.rejected_prompts.values_list("reason").annotate(count=Count("pk")).order_by("-count", "reason")
    return [
        FilterView(reason, count, _removed_by(iteration.rejected_prompts.filter(reason=reason)))
        for reason, count in counts
    ]


def _removed_by(rows: QuerySet[RejectedPrompt]) -> list[RemovedExample]:
    texts = rows.order_by().values("text").annotate(times=Count("pk"), first=Min("pk")).order_by("first")
    shown = list(texts[:REMOVED_EXAMPLES])
    first = rows.in_bulk([row["first"] for row in shown])
    return [
        RemovedExample(row["text"], row["times"], first[row["first"]].detail, first[row["first"]].rouge_l)
        for row in shown
    ]


def stages_with_samples(iteration: Iteration) -> list[Stage]:
    """Return the stages of an iteration that have sample rows, in order."""
    return [
        stage
        for stage in iteration.stages.exclude(status=Stage.Status.SKIPPED).order_by("position")
        if stage.spec.samples and (stage.done or stage.status in (Stage.Status.DONE, Stage.Status.WAITING))
    ]
