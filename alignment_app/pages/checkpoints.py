"""View models of the checkpoint pages: the list, the detail page, and the rows behind each metric."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, Prefetch, Q, QuerySet

from alignment_app.models import (
    Checkpoint,
    Comparison,
    DatasetSnapshot,
    IterationPrompt,
    Judgement,
    PreferencePair,
    Prompt,
    Response,
    Run,
    SnapshotItem,
)
from alignment_app.pages.figures import Figure, figures, values_of
from alignment_app.pages.lineage import Lineage, lineage
from alignment_app.selectors.choices import CheckpointChoice, choice_of
from alignment_app.services import artifacts
from training.domain.leakage import Leakage
from training.domain.metrics import pairwise_accuracy
from training.domain.rows import LEFT_OUT
from training.domain.training_metrics import TRAINING_METRICS
from training.evaluation.registry import evaluation_metrics

RUNS_A_PAGE = 12
ROWS_A_PAGE = 20


@dataclass(frozen=True, slots=True)
class RunCheckpoints:
    """A run with its checkpoints and their lineage."""

    run: Run
    checkpoints: list[Checkpoint]
    lineage: Lineage


def checkpoints_of_runs() -> QuerySet[Checkpoint]:
    """Return checkpoints ordered by number, with the related rows that a list needs."""
    related = ("parent", "reference", "snapshot", "evaluation__judge", "run")
    return Checkpoint.objects.select_related(*related).order_by("number")


def runs_with_checkpoints(query: str, number: str | int | None) -> Page[RunCheckpoints]:
    """Return a page of runs that have trained a checkpoint, newest first.

    :param query: only runs whose name contains this text; empty for all.
    :param number: page number.
    """
    runs = Run.objects.filter(Q(checkpoints__number__gt=0) | Q(iterations__checkpoint__isnull=False)).distinct()
    if query.strip():
        runs = runs.filter(name__icontains=query.strip())
    runs = runs.prefetch_related(Prefetch("checkpoints", queryset=checkpoints_of_runs(), to_attr="made"))
    page: Page[Any] = Paginator(runs, RUNS_A_PAGE).get_page(number)
    page.object_list = [RunCheckpoints(run, run.made, lineage(run.made)) for run in page.object_list]
    return page


@dataclass(frozen=True, slots=True)
class Decider:
    """A person with judgements on rows of a snapshot."""

    name: str
    judgements: int


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """A snapshot with the states, origins and reviewers of its rows."""

    snapshot: DatasetSnapshot
    states: list[tuple[str, int]]
    origins: list[tuple[str, int]]
    deciders: list[Decider]


@dataclass(frozen=True, slots=True)
class CheckpointDetail:
    """The data of a checkpoint's page."""

    checkpoint: Checkpoint
    lineage: Lineage
    location: str
    snippet: str
    total_bytes: int
    training: list[Figure]
    figures: list[Figure] = field(default_factory=list)
    data: SnapshotSummary | None = None
    choice: CheckpointChoice | None = None
    answers: int = 0
    leakage: Leakage | None = None


def checkpoint_detail(checkpoint: Checkpoint) -> CheckpointDetail:
    """Return a checkpoint with its lineage, files, training data, training and evaluation."""
    location = artifacts.resolve(checkpoint.location)
    evaluation = getattr(checkpoint, "evaluation", None)
    return CheckpointDetail(
        checkpoint=checkpoint,
        lineage=lineage(list(checkpoints_of_runs().filter(run=checkpoint.run)), current=checkpoint.pk),
        location=location,
        snippet=loading_snippet(checkpoint, location),
        total_bytes=sum(int(file.get("size") or 0) for file in checkpoint.files),
        training=figures(TRAINING_METRICS, values_of(checkpoint)),
        figures=figures(evaluation_metrics(has_previous=evaluation.against_id is not None), evaluation.metrics)
        if evaluation
        else [],
        data=snapshot_summary(checkpoint.snapshot) if checkpoint.snapshot else None,
        choice=choice_of(checkpoint.iteration, list(checkpoint.iteration.stages.all()))
        if checkpoint.iteration
        else None,
        answers=answers_of(checkpoint).count(),
        leakage=Leakage.from_data(evaluation.leakage) if evaluation and evaluation.leakage else None,
    )


def loading_snippet(checkpoint: Checkpoint, location: str) -> str:
    """Return Python code that loads the checkpoint and generates an answer."""
    is_adapter = any(file.get("name") == "adapter_config.json" for file in checkpoint.files)
    library, loader = ("peft", "AutoPeftModelForCausalLM") if is_adapter else ("transformers", "AutoModelForCausalLM")
    imports = (
        f"from peft import {loader}\nfrom transformers import AutoTokenizer"
        if library == "peft"
        else f"from transformers import {loader}, AutoTokenizer"
    )
    return f"""{imports}

path = {location!r}
tokenizer = AutoTokenizer.from_pretrained(path)
model = {loader}.from_pretrained(path)

messages = [{{"role": "user", "content": "Hello"}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
output = model.generate(**inputs, max_new_tokens=128)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""


def snapshot_summary(snapshot: DatasetSnapshot) -> SnapshotSummary:
    """Count the rows of a snapshot by state and origin, and the human judgements by person."""
    pairs = PreferencePair.objects.filter(snapshot_items__snapshot=snapshot).order_by()
    on_rows = Q(response__chosen_in__snapshot_items__snapshot=snapshot) | Q(
        response__rejected_in__snapshot_items__snapshot=snapshot
    )
    people = (
        Judgement.objects.filter(on_rows, source=Judgement.Source.HUMAN)
        .order_by()
        .values("judge__person__username", "judge__label")
        .annotate(n=Count("id", distinct=True))
    )
    return SnapshotSummary(
        snapshot,
        _counted(pairs, "state", dict(PreferencePair.State.choices)),
        _counted(pairs, "origin", dict(PreferencePair.Origin.choices)),
        sorted(
            (Decider(row["judge__person__username"] or row["judge__label"], row["n"]) for row in people),
            key=lambda one: one.name,
        ),
    )


def _counted(pairs: QuerySet[PreferencePair], column: str, labels: dict[str, Any]) -> list[tuple[str, int]]:
    rows = pairs.values(column).annotate(n=Count("id", distinct=True)).order_by("-n")
    return [(str(labels.get(row[column], row[column])), row["n"]) for row in rows]


def snapshot_page(snapshot: DatasetSnapshot, state: str, number: str | int | None) -> Page[SnapshotItem]:
    """Return a page of 20 rows of a snapshot in training order.

    :param state: only pairs in this state; any other text for all rows.
    """
    items = snapshot.items.select_related(
        "pair__prompt",
        "pair__chosen",
        "pair__rejected",
        "response__prompt__dataset",
        "judgement__response__prompt",
        "judgement__judge__person",
    ).order_by("position")
    if state in PreferencePair.State.values:
        items = items.filter(pair__state=state)
    judged = Judgement.objects.select_related("judge__person").order_by("source", "id")
    return Paginator(
        items.prefetch_related(
            Prefetch("pair__chosen__judgements", queryset=judged),
            Prefetch("pair__rejected__judgements", queryset=judged),
        ),
        ROWS_A_PAGE,
    ).get_page(number)


def answers_of(checkpoint: Checkpoint) -> QuerySet[Response]:
    """Return the checkpoint's answers to held-out prompts."""
    return Response.objects.filter(checkpoint=checkpoint, purpose=Response.Purpose.EVALUATION)


def left_out_of(checkpoint: Checkpoint) -> QuerySet[IterationPrompt]:
    """Return the held-out prompts for which a row of the checkpoint's evaluation was left out, with the reasons."""
    return IterationPrompt.objects.filter(
        iteration__run=checkpoint.run_id,
        iteration__number=checkpoint.number - 1,
        role=IterationPrompt.Role.EVALUATION,
        outcome_code__in=LEFT_OUT,
    ).select_related("prompt")


def answers_page(checkpoint: Checkpoint, score: str, order: str, number: str | int | None) -> Page[Response]:
    """Return a page of 20 held-out answers.

    :param score: ``"unparsed"``, or a digit k for teacher or reference scores in [k, k + 1).
    :param order: ``"long"`` for the longest answers first.
    """
    answers = answers_of(checkpoint).select_related("prompt").order_by("prompt__position", "prompt_id", "index")
    by_others = Q(judgements__source__in=(Judgement.Source.TEACHER, Judgement.Source.REFERENCE))
    if score == "unparsed":
        answers = answers.filter(by_others, judgements__score__isnull=True).distinct()
    elif score in ("0", "1", "2", "3", "4", "5"):
        answers = answers.filter(by_others, judgements__score__gte=int(score), judgements__score__lt=int(score) + 1)
        answers = answers.distinct()
    if order == "long":
        answers = answers.order_by("-token_count", "prompt_id")
    judged = Judgement.objects.select_related("judge").order_by("source", "id")
    return Paginator(answers.prefetch_related(Prefetch("judgements", queryset=judged)), ROWS_A_PAGE).get_page(number)


def comparisons_page(
    checkpoint: Checkpoint, outcome: str, number: str | int | None, prompt: str = ""
) -> Page[Comparison]:
    """Return a page of 20 head-to-head comparisons of the checkpoint's evaluation.

    :param outcome: ``win``, ``tie`` or ``lose``; any other text for all.
    :param prompt: id of a prompt; empty for all.
    """
    rows = (
        Comparison.objects.filter(evaluation__checkpoint=checkpoint)
        .select_related("prompt", "response", "against")
        .order_by("prompt__position", "id")
    )
    if outcome in Comparison.Outcome.values:
        rows = rows.filter(outcome=outcome)
    if prompt.isascii() and prompt.isdigit() and len(prompt) < 16:
        rows = rows.filter(prompt=int(prompt))
    return Paginator(rows, ROWS_A_PAGE).get_page(number)


@dataclass(frozen=True, slots=True)
class ProbedResponse:
    """A response with the checkpoint's own judgement and that of the evaluation's judge."""

    response: Response
    own: Judgement | None
    other: Judgement | None


@dataclass(frozen=True, slots=True)
class ProbedPrompt:
    """Self-judged responses to one held-out prompt.

    ``pairs`` is the number of untied pairs, ``agreed`` the number that both judges order the same way.
    """

    prompt: Prompt
    responses: list[ProbedResponse]
    agreed: int
    pairs: int


def judgements_page(checkpoint: Checkpoint, only: str, number: str | int | None) -> Page[ProbedPrompt]:
    """Return a page of 20 prompts of the self-judge evaluation.

    :param only: ``"unparsed"`` for prompts with unparsed replies; any other text for all.
    """
    own = Judgement.objects.filter(
        judge__checkpoint=checkpoint, source=Judgement.Source.SELF, response__purpose=Response.Purpose.PROBE
    )
    if only == "unparsed":
        own = own.filter(parsed_count__lt=F("sample_count"))
    prompts = Prompt.objects.filter(pk__in=own.values("response__prompt")).order_by("position", "id")
    page: Page[Any] = Paginator(prompts, ROWS_A_PAGE).get_page(number)
    shown = list(page.object_list)
    responses: dict[int, list[Response]] = defaultdict(list)
    for response in (
        Response.objects.filter(prompt__in=shown, purpose=Response.Purpose.PROBE, checkpoint=checkpoint)
        .prefetch_related("judgements__judge")
        .order_by("index")
    ):
        responses[response.prompt_id].append(response)
    page.object_list = [_probed(prompt, responses[prompt.pk], checkpoint) for prompt in shown]
    return page


def _probed(prompt: Prompt, responses: list[Response], checkpoint: Checkpoint) -> ProbedPrompt:
    rows = []
    for response in responses:
        judged = list(response.judgements.all())
        by_itself = (j for j in judged if j.source == Judgement.Source.SELF and j.judge.checkpoint_id == checkpoint.pk)
        own = next(by_itself, None)
        other = next((j for j in judged if j.source in (Judgement.Source.TEACHER, Judgement.Source.REFERENCE)), None)
        rows.append(ProbedResponse(response, own, other))
    accuracy, pairs = pairwise_accuracy(
        [[row.own.score if row.own else None for row in rows]],
        [[row.other.score if row.other else None for row in rows]],
    )
    return ProbedPrompt(prompt, rows, round((accuracy or 0) * pairs), pairs)
