"""Save the rows of a stage: one transaction per call, under the attempt's lease, idempotent by unique constraints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.db.models import F

from alignment_app.models import (
    Checkpoint,
    Comparison,
    Dataset,
    Evaluation,
    Iteration,
    IterationPrompt,
    Judge,
    Judgement,
    PreferencePair,
    Prompt,
    RejectedPrompt,
    Response,
    StageAttempt,
)
from alignment_app.services.stages import leased
from training.domain.importing import content_hash
from training.domain.leakage import Leakage
from training.domain.pair_split import PairSplit
from training.domain.rows import (
    ComparisonDraft,
    JudgementDraft,
    JudgementSample,
    LeftOut,
    Message,
    NoPair,
    PairDraft,
    PromptDraft,
    RejectedDraft,
    ResponseDraft,
    storable,
)
from training.domain.score_rule import ScoreRule

BATCH = 500


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _count(attempt: StageAttempt, rows: int) -> None:
    StageAttempt.objects.filter(pk=attempt.pk).update(rows_written=F("rows_written") + rows)


def use_prompts(
    attempt: StageAttempt, iteration: Iteration, prompt_ids: Sequence[int], role: str = IterationPrompt.Role.TRAIN
) -> None:
    """Record the prompts of an iteration in this order. Existing uses are kept."""
    with leased(attempt):
        used = set(iteration.iteration_prompts.filter(role=role).values_list("prompt_id", flat=True))
        new = [prompt_id for prompt_id in dict.fromkeys(prompt_ids) if prompt_id not in used]
        IterationPrompt.objects.bulk_create(
            (
                IterationPrompt(iteration=iteration, prompt_id=prompt_id, role=role, position=position)
                for position, prompt_id in enumerate(new, len(used))
            ),
            batch_size=BATCH,
        )
        _count(attempt, len(new))


def save_generated_prompts(attempt: StageAttempt, iteration: Iteration, drafts: Sequence[PromptDraft]) -> None:
    """Save self-instruct prompts in the run's own data set and use them in the iteration."""
    with leased(attempt):
        dataset, _ = Dataset.objects.get_or_create(
            name=f"run {iteration.run_id}: generated prompts",
            defaults={"kind": Dataset.Kind.PROMPTS, "run_id": iteration.run_id},
        )
        position = dataset.prompts.count()
        ids = []
        for draft in drafts:
            messages: list[Message] = [{"role": "user", "content": storable(draft.text)}]
            prompt, is_new = Prompt.objects.get_or_create(
                dataset=dataset,
                content_hash=content_hash(messages),
                defaults={
                    "source": Prompt.Source.GENERATED,
                    "messages": messages,
                    "text": messages[0]["content"],
                    "position": position,
                    "meta": {
                        name: storable(value) if isinstance(value, str) else value for name, value in draft.meta.items()
                    },
                },
            )
            position += is_new
            ids.append(prompt.pk)
        use_prompts(attempt, iteration, ids)


def save_rejected_prompts(attempt: StageAttempt, iteration: Iteration, drafts: Sequence[RejectedDraft]) -> None:
    """Save prompts removed by self-instruct's filters. Existing rows are kept."""
    with leased(attempt):
        RejectedPrompt.objects.bulk_create(
            (
                RejectedPrompt(
                    iteration=iteration,
                    round=draft.round,
                    place=draft.place,
                    text=storable(draft.text),
                    reason=draft.reason[:80],
                    detail=storable(draft.detail),
                    rouge_l=draft.rouge_l,
                )
                for draft in drafts
            ),
            batch_size=BATCH,
            ignore_conflicts=True,
        )


def save_responses(
    attempt: StageAttempt,
    iteration: Iteration,
    drafts: Sequence[ResponseDraft],
    *,
    purpose: str,
    source: str = Response.Source.STUDENT,
    checkpoint: Checkpoint | None = None,
    author: str = "",
    sampling: dict[str, Any],
) -> None:
    """Save generated responses. Existing rows are kept."""
    with leased(attempt):
        Response.objects.bulk_create(
            (
                Response(
                    prompt_id=draft.prompt_id,
                    iteration=iteration,
                    checkpoint=checkpoint,
                    source=source,
                    purpose=purpose,
                    author=author,
                    index=draft.index,
                    text=storable(draft.text),
                    sampling=sampling,
                    seed=draft.seed,
                    token_count=draft.token_count,
                    logprob=draft.logprob,
                    finish_reason=draft.finish_reason,
                )
                for draft in drafts
            ),
            batch_size=BATCH,
            ignore_conflicts=True,
        )
        _count(attempt, len(drafts))


def save_judgements(
    attempt: StageAttempt,
    iteration: Iteration,
    drafts: Sequence[JudgementDraft],
    *,
    source: str,
    judge: Judge,
) -> None:
    """Save judgements with all raw replies. Existing rows are kept."""
    with leased(attempt):
        Judgement.objects.bulk_create(
            (
                Judgement(
                    response_id=draft.response_id,
                    iteration=iteration,
                    source=source,
                    judge=judge,
                    samples=[_sample(sample) for sample in draft.samples],
                    parsed_count=sum(sample.score is not None for sample in draft.samples),
                    sample_count=len(draft.samples),
                    score=draft.mean,
                    spread=draft.spread,
                    rationale=storable(draft.rationale),
                    checks=[check | {"reason": storable(check["reason"])} for check in draft.checks],
                )
                for draft in drafts
            ),
            batch_size=BATCH,
            ignore_conflicts=True,
        )
        _count(attempt, len(drafts))


def _sample(sample: JudgementSample) -> dict[str, Any]:
    """Return a reply as it is stored; ``cut`` only where it is true, as in rows of earlier versions."""
    data = asdict(sample) | {"raw": storable(sample.raw)}
    return data if sample.cut else {name: value for name, value in data.items() if name != "cut"}


def leave_out(attempt: StageAttempt, iteration: Iteration, left_out: Sequence[LeftOut], role: str) -> None:
    """Store why a model refused these prompts as their outcome."""
    refusals = {one.prompt_id: one.refusal for one in reversed(left_out)}
    with leased(attempt):
        for chunk in _chunks(sorted(refusals)):
            uses = list(iteration.iteration_prompts.filter(role=role, prompt__in=chunk))
            for use in uses:
                refusal = refusals[use.prompt_id]
                use.outcome_code, use.outcome = refusal.code, _whole_sentences(storable(refusal.reason))
            IterationPrompt.objects.bulk_update(uses, ["outcome", "outcome_code"])


def _whole_sentences(text: str, most: int = 200) -> str:
    """Shorten a text to ``most`` characters, at the end of a sentence if possible."""
    if len(text) <= most:
        return text
    end = text.rfind(". ", 0, most)
    return text[: end + 1] if end > 0 else f"{text[: most - 1]}…"


def set_judge(attempt: StageAttempt, iteration: Iteration, judge: Judge, *, source: str) -> None:
    """Use the scores of this judge in the iteration from now on."""
    rule = replace(ScoreRule.from_data(iteration.score_rule), source=str(source), judge=judge.pk)
    with leased(attempt):
        iteration.score_rule = rule.as_data()
        iteration.save(update_fields=["score_rule"])


def save_pairs(
    attempt: StageAttempt, iteration: Iteration, outcomes: Iterable[PairDraft | NoPair], *, origin: str
) -> int:
    """Save pairs, and the outcome of every prompt. Returns the number of pairs of the iteration.

    Pairs are a pure function of fixed judgements, so saving them again changes nothing; review decisions are kept.
    """
    outcomes = list(outcomes)
    with leased(attempt):
        drafts = [outcome for outcome in outcomes if isinstance(outcome, PairDraft)]
        PreferencePair.objects.bulk_create(
            (
                PreferencePair(
                    iteration=iteration,
                    prompt_id=draft.prompt_id,
                    chosen_id=draft.chosen_id,
                    rejected_id=draft.rejected_id,
                    chosen_score=draft.chosen_score,
                    rejected_score=draft.rejected_score,
                    margin=draft.margin,
                    origin=origin,
                    reason=draft.reason,
                )
                for draft in drafts
            ),
            batch_size=BATCH,
            ignore_conflicts=True,
        )
        uses = {use.prompt_id: use for use in iteration.iteration_prompts.filter(role=IterationPrompt.Role.TRAIN)}
        for outcome in outcomes:
            if use := uses.get(outcome.prompt_id):
                use.outcome_code, use.outcome = outcome.code, outcome.reason[:200]
        IterationPrompt.objects.bulk_update(uses.values(), ["outcome", "outcome_code"], batch_size=BATCH)
        _count(attempt, len(drafts))
        return iteration.pairs.count()


def divide_pairs(attempt: StageAttempt, iteration: Iteration, division: PairSplit) -> None:
    """Record which pairs of an iteration are trained on, held out or left out."""
    parts = PreferencePair.Part
    with leased(attempt):
        for part, ids in ((parts.HELD_OUT, division.held_out), (parts.LEFT_OUT, division.left_out)):
            for chunk in _chunks(sorted(ids)):
                iteration.pairs.filter(pk__in=chunk).update(part=part)
        aside = {*division.held_out, *division.left_out}
        back = [pk for pk in iteration.pairs.exclude(part=parts.TRAIN).values_list("pk", flat=True) if pk not in aside]
        for chunk in _chunks(back):
            iteration.pairs.filter(pk__in=chunk).update(part=parts.TRAIN)


def start_evaluation(
    attempt: StageAttempt, checkpoint: Checkpoint, *, against: Checkpoint | None, judge: Judge | None, prompt_count: int
) -> Evaluation:
    """Get or create the evaluation of a checkpoint."""
    with leased(attempt):
        evaluation, _ = Evaluation.objects.get_or_create(
            checkpoint=checkpoint, defaults={"against": against, "judge": judge, "prompt_count": prompt_count}
        )
    return evaluation


def save_comparisons(attempt: StageAttempt, evaluation: Evaluation, drafts: Sequence[ComparisonDraft]) -> None:
    """Save head-to-head verdicts with the judge's replies in both orders, one row per prompt."""
    with leased(attempt):
        Comparison.objects.bulk_create(
            (
                Comparison(
                    evaluation=evaluation,
                    prompt_id=draft.prompt_id,
                    response_id=draft.response_a_id,
                    against_id=draft.response_b_id,
                    verdict_first=draft.verdict_ab,
                    verdict_second=draft.verdict_ba,
                    raw_first=storable(draft.raw_ab),
                    raw_second=storable(draft.raw_ba),
                    outcome=draft.outcome,
                )
                for draft in drafts
            ),
            batch_size=BATCH,
            ignore_conflicts=True,
        )
        _count(attempt, len(drafts))


def save_metrics(attempt: StageAttempt, evaluation: Evaluation, metrics: dict[str, Any]) -> None:
    """Save the metrics of an evaluation. All of them can be recomputed from the saved rows."""
    with leased(attempt):
        evaluation.metrics = metrics
        evaluation.save(update_fields=["metrics"])


def save_leakage(attempt: StageAttempt, evaluation: Evaluation, found: Leakage) -> None:
    """Save the leakage of the held-out prompts into the rows that the evaluated checkpoint was trained on."""
    with leased(attempt):
        evaluation.leakage = found.as_data()
        evaluation.save(update_fields=["leakage"])
