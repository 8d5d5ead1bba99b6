"""Remaining work of a stage: the rows that do not exist yet. All results are frozen domain rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from alignment_app.models import (
    Checkpoint,
    Dataset,
    Iteration,
    IterationPrompt,
    Judge,
    Judgement,
    PairMargin,
    PreferencePair,
    Prompt,
    Response,
)
from training.domain.pair_split import PairContent
from training.domain.rows import LEFT_OUT, PairDraft, PromptOutcome, PromptRow, Refusal, ResponseRow
from training.domain.seeds import derive_seed


def prompt_row(prompt: Prompt) -> PromptRow:
    """Return a prompt as a frozen row."""
    return PromptRow(prompt.pk, tuple(prompt.messages), tuple(prompt.checks))


def iteration_prompts(iteration: Iteration, role: str = IterationPrompt.Role.TRAIN) -> list[PromptRow]:
    """Return the prompts of an iteration, in order."""
    uses = iteration.iteration_prompts.filter(role=role).select_related("prompt")
    return [prompt_row(use.prompt) for use in uses]


def left_out(iteration: Iteration) -> dict[int, Refusal]:
    """Return why models refused the iteration's training prompts, by prompt id."""
    uses = iteration.iteration_prompts.filter(role=IterationPrompt.Role.TRAIN, outcome_code__in=LEFT_OUT)
    found = uses.values_list("prompt_id", "outcome_code", "outcome")
    return {prompt_id: Refusal(PromptOutcome(code), reason) for prompt_id, code, reason in found}


def choose_prompts(iteration: Iteration, dataset: Dataset, count: int, seed: int) -> list[int]:
    """Choose ``count`` prompts of a data set in random order by the run's seed, unused ones first.

    Prompts used in fewer earlier iterations of the run come first, so prompts repeat only when the set is exhausted.
    """
    prompts = dataset.prompts.exclude(messages=[]).values_list("pk", "content_hash")
    used: dict[int, int] = {}
    earlier = IterationPrompt.objects.filter(
        iteration__run=iteration.run_id, iteration__number__lt=iteration.number, role=IterationPrompt.Role.TRAIN
    )
    for prompt_id in earlier.values_list("prompt_id", flat=True):
        used[prompt_id] = used.get(prompt_id, 0) + 1
    drawn = sorted(prompts, key=lambda row: (used.get(row[0], 0), derive_seed(seed, "prompts", row[1])))
    return [prompt_id for prompt_id, _ in drawn[:count]]


def draw_prompts(dataset: Dataset, count: int, seed: int, role: str) -> list[int]:
    """Draw ``count`` prompts from a whole data set, at random by ``seed``.

    The draw depends on the contents only, so all runs with the same seed have the same prompts. ``role`` keeps the
    draws of evaluation and early stopping apart.
    """
    prompts = dataset.prompts.exclude(messages=[]).values_list("pk", "content_hash")
    drawn = sorted(prompts, key=lambda row: derive_seed(seed, f"draw {role}", row[1]))
    return [prompt_id for prompt_id, _ in drawn[:count]]


def prompts_of_earlier_iteration(iteration: Iteration, role: str) -> list[int]:
    """Return the prompts with this role of the latest earlier iteration of the run that has any, in order."""
    uses = IterationPrompt.objects.filter(
        iteration__run=iteration.run_id, iteration__number__lt=iteration.number, role=role
    )
    newest = uses.order_by("-iteration__number").values_list("iteration", flat=True).first()
    return list(uses.filter(iteration=newest).order_by("position").values_list("prompt_id", flat=True))


def generated_prompts(iteration: Iteration) -> list[tuple[str, int]]:
    """Return the self-instruct prompts of an iteration, in order, each with its round."""
    uses = iteration.iteration_prompts.filter(role=IterationPrompt.Role.TRAIN).select_related("prompt")
    return [(use.prompt.text, int(use.prompt.meta.get("round", 0))) for use in uses]


def earlier_generated_prompts(iteration: Iteration) -> list[str]:
    """Return the self-instruct prompts of the run's earlier iterations; new prompts must differ from them."""
    earlier = IterationPrompt.objects.filter(
        iteration__run=iteration.run_id, iteration__number__lt=iteration.number, role=IterationPrompt.Role.TRAIN
    )
    return list(earlier.values_list("prompt__text", flat=True))


def missing_responses(
    iteration: Iteration, prompts: Sequence[PromptRow], *, purpose: str, source: str, n: int
) -> list[tuple[PromptRow, int]]:
    """Return (prompt, index) of every missing response."""
    made = set(
        Response.objects.filter(iteration=iteration, purpose=purpose, source=source).values_list("prompt_id", "index")
    )
    return [(prompt, index) for prompt in prompts for index in range(n) if (prompt.id, index) not in made]


def candidates(iteration: Iteration, *, recorded: bool) -> QuerySet[Response]:
    """Return the candidate responses of an iteration: its own, or those of a data set if ``recorded``."""
    responses = Response.objects.filter(purpose=Response.Purpose.CANDIDATE)
    if recorded:
        uses = IterationPrompt.objects.filter(iteration=iteration, role=IterationPrompt.Role.TRAIN)
        return responses.filter(iteration__isnull=True, prompt__in=uses.values("prompt"))
    return responses.filter(iteration=iteration)


def response_rows(responses: QuerySet[Response]) -> list[ResponseRow]:
    """Return responses as frozen rows, by prompt and index."""
    found = responses.order_by("prompt_id", "index")
    return [ResponseRow(row.pk, row.prompt_id, row.index, row.text, row.was_cut) for row in found]


def unjudged(responses: QuerySet[Response], *, source: str, judge: Judge) -> list[tuple[ResponseRow, PromptRow]]:
    """Return the responses without a judgement by this judge, each with its prompt."""
    judged = Judgement.objects.filter(response=OuterRef("pk"), source=source, judge=judge)
    rows = responses.exclude(Exists(judged)).select_related("prompt").order_by("prompt_id", "index")
    return [(ResponseRow(row.pk, row.prompt_id, row.index, row.text), prompt_row(row.prompt)) for row in rows]


def imported_pairs(iteration: Iteration, dataset: Dataset, count: int, seed: int) -> list[PairDraft]:
    """Choose ``count`` imported pairs of a data set in random order by the run's seed, unused ones first.

    The order depends on the content only, so it is the same in every database.
    """
    pairs = PreferencePair.objects.filter(
        prompt__dataset=dataset, iteration__isnull=True, state__in=PreferencePair.TRAINABLE
    ).select_related("prompt", "chosen", "rejected")
    earlier = PreferencePair.objects.filter(iteration__run=iteration.run_id, iteration__number__lt=iteration.number)
    used = Counter(earlier.values_list("chosen_id", "rejected_id"))
    drawn = sorted(
        pairs,
        key=lambda pair: (
            used[pair.chosen_id, pair.rejected_id],
            derive_seed(seed, "pairs", pair.prompt.content_hash, pair.chosen.text, pair.rejected.text),
        ),
    )
    return [
        PairDraft(
            prompt_id=pair.prompt_id,
            chosen_id=pair.chosen_id,
            rejected_id=pair.rejected_id,
            chosen_score=pair.chosen_score,
            rejected_score=pair.rejected_score,
            margin=pair.margin,
            reason="As the data set has it.",
        )
        for pair in drawn[:count]
    ]


def ranked_prompts(dataset: Dataset) -> list[Prompt]:
    """Return the prompts of a data set with two or more human-ranked responses, in order."""
    found = dataset.prompts.exclude(messages=[]).filter(meta__has_key="ranks").order_by("position", "pk")
    return [prompt for prompt in found if len({rank for rank in prompt.meta["ranks"] if rank is not None}) >= 2]


def ranked_responses(iteration: Iteration) -> QuerySet[Response]:
    """Return the imported responses to an iteration's prompts."""
    uses = IterationPrompt.objects.filter(iteration=iteration, role=IterationPrompt.Role.TRAIN)
    return Response.objects.filter(
        iteration__isnull=True, purpose=Response.Purpose.CANDIDATE, prompt__in=uses.values("prompt")
    )


def rank_of(response: Response) -> float | None:
    """Return the human rank of a response among those to its prompt (1 = best); ``None`` if not ranked."""
    ranks = response.prompt.meta.get("ranks", [])
    return ranks[response.index] if response.index < len(ranks) else None


def trained_prompts(names: Sequence[str]) -> list[str]:
    """Return the last user turns of the named data sets."""
    return list(Prompt.objects.filter(dataset__name__in=names).exclude(messages=[]).values_list("text", flat=True))


def sft_rows(names: Sequence[str], limit: int | None) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """Yield training rows of the named data sets in the trainer's format, each with its response.

    With a limit, every data set contributes the same share of its rows.
    """
    targets = Response.objects.filter(
        prompt__dataset__name__in=names, purpose=Response.Purpose.TARGET, iteration__isnull=True
    )
    total = targets.count()
    taken = 0
    for place, name in enumerate(names):
        rows = targets.filter(prompt__dataset__name=name).select_related("prompt").order_by("prompt__position", "pk")
        if limit is not None and total > limit:
            last = place == len(names) - 1
            share = limit - taken if last else round(limit * rows.count() / total)
            rows = rows[: max(share, 0)]
        for row in rows.iterator(chunk_size=1000) if limit is None else rows:
            taken += 1
            data: dict[str, Any] = {"messages": row.prompt.messages, "completion": row.text}
            if row.weights:
                data["weights"] = row.weights
            yield data, {"response_id": row.pk}


def pair_contents(iteration: Iteration) -> list[PairContent]:
    """Return the content of the trainable pairs of an iteration."""
    pairs = iteration.pairs.filter(state__in=PreferencePair.TRAINABLE)
    found = pairs.values_list("pk", "prompt__content_hash", "chosen__text", "rejected__text")
    return [PairContent(*row) for row in found]


def training_pairs(run_id: int, number: int, *, mix_previous: bool) -> QuerySet[PreferencePair]:
    """Return the current training pairs of an iteration: its own, or with ``mix_previous`` those of all so far.

    Prompts with a held-out pair in any iteration of the run are excluded.
    """
    numbers = range(1, number + 1) if mix_previous else [number]
    held_out = PreferencePair.objects.filter(iteration__run=run_id, part=PreferencePair.Part.HELD_OUT)
    return PreferencePair.objects.filter(
        iteration__run=run_id,
        iteration__number__in=numbers,
        state__in=PreferencePair.TRAINABLE,
        part=PreferencePair.Part.TRAIN,
    ).exclude(prompt__content_hash__in=held_out.values("prompt__content_hash"))


def preference_rows(run_id: int, number: int, *, mix_previous: bool) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """Yield the ``training_pairs`` of an iteration in TRL's format, each with its pair."""
    pairs = training_pairs(run_id, number, mix_previous=mix_previous)
    for pair in pairs.select_related("prompt", "chosen", "rejected").order_by("iteration__number", "prompt_id", "pk"):
        yield _preference_row(pair), {"pair_id": pair.pk}


def evaluation_pairs(run_id: int, dataset: Dataset, count: int, seed: int) -> list[tuple[int, dict[str, Any]]]:
    """Return ``count`` imported pairs of a data set, (id, row in TRL's format), equal for all checkpoints of a run.

    They are drawn by ``seed``, unless an earlier checkpoint of the run was measured on some: then they are these.
    """
    pairs = PreferencePair.objects.filter(
        prompt__dataset=dataset, iteration__isnull=True, state__in=PreferencePair.TRAINABLE
    ).select_related("prompt", "chosen", "rejected")
    measured = PairMargin.objects.filter(checkpoint__run=run_id, part=PairMargin.Part.EVALUATION).values("pair")
    chosen = list(pairs.filter(pk__in=measured).order_by("prompt__position", "pk"))
    if not chosen:
        chosen = sorted(
            pairs,
            key=lambda pair: derive_seed(
                seed, "evaluation pairs", pair.prompt.content_hash, pair.chosen.text, pair.rejected.text
            ),
        )[:count]
    return [(pair.pk, _preference_row(pair)) for pair in chosen]


def pair_parts(iteration: Iteration) -> dict[str, int]:
    """Return the numbers of trained, held-out and unused pairs of an iteration."""
    return dict(Counter(iteration.pairs.filter(state__in=PreferencePair.TRAINABLE).values_list("part", flat=True)))


def held_out_pairs(iteration: Iteration) -> list[tuple[int, dict[str, Any]]]:
    """Return the current held-out pairs of an iteration: (id, row in TRL's format)."""
    pairs = iteration.pairs.filter(part=PreferencePair.Part.HELD_OUT, state__in=PreferencePair.TRAINABLE)
    found = pairs.select_related("prompt", "chosen", "rejected").order_by("prompt_id", "pk")
    return [(pair.pk, _preference_row(pair)) for pair in found]


def _preference_row(pair: PreferencePair) -> dict[str, Any]:
    # Only where it applies, so that the hash of a set without cut responses is that of earlier versions.
    cut = {f"{side}_cut": True for side in ("chosen", "rejected") if getattr(pair, side).was_cut}
    return {
        "prompt": pair.prompt.messages,
        "chosen": [{"role": "assistant", "content": pair.chosen.text}],
        "rejected": [{"role": "assistant", "content": pair.rejected.text}],
        "chosen_score": pair.chosen_score,
        "rejected_score": pair.rejected_score,
        **cut,
    }


def checkpoint(run_id: int, number: int) -> Checkpoint:
    """Return checkpoint M_number of a run."""
    return Checkpoint.objects.get(run=run_id, number=number)
