"""Jobs that make prompts, responses, judgements and pairs."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

from django.db.models import Avg, Count, QuerySet, Sum

from alignment_app.models import (
    Dataset,
    IterationPrompt,
    Judge,
    Judgement,
    PreferencePair,
    Response,
    Stage,
    StageAttempt,
)
from alignment_app.selectors import leakage, scores
from alignment_app.selectors import work as selectors
from alignment_app.services import events, rows, stages
from alignment_app.services.progress import Progress
from training.config.datasets import measuring_names
from training.domain.alarms import Health, OrderHealth
from training.domain.pairing import demonstration_pairs, max_min_pairs, random_pairs, with_left_out
from training.domain.rows import NoPair, PairDraft, PromptDraft, RejectedDraft
from training.domain.self_instruct import MAX_WORDS, usable_demonstrations
from training.engines.base import Sampling
from training.jobs.health import JudgementProgress, health_of, record_health
from training.jobs.judge_control import controlled
from training.jobs.overlap import TeacherOverlap
from training.jobs.stage_work import CannotContinue, Halt, StageWork
from training.jobs.traffic import WatchedEngine
from training.plan.gathering import DemonstrationsResult, JudgementsResult, PairsResult, PromptsResult, ResponsesResult
from training.stages.prompts import FRUITLESS_ROUNDS, write_prompts


def gather_prompts(job: StageWork) -> PromptsResult:
    """Save the iteration's prompts, from a data set or newly written by self-instruct."""
    config = job.config.prompts
    name = job.config.candidates.from_dataset or config.dataset
    dataset = Dataset.objects.get(name=name)
    if job.config.writes_prompts:
        return _write_prompts(job, dataset)
    have = job.iteration.iteration_prompts.filter(role=IterationPrompt.Role.TRAIN).count()
    if not have:
        rows.use_prompts(
            job.attempt, job.iteration, selectors.choose_prompts(job.iteration, dataset, config.count, job.config.seed)
        )
        have = job.iteration.iteration_prompts.filter(role=IterationPrompt.Role.TRAIN).count()
    if not have:
        raise CannotContinue(f"The data set {name!r} holds no prompts. Import some into it, then resume.")
    if have < config.count:
        events.log(
            job.run.pk,
            f"{name} holds {have} prompts, fewer than the {config.count} asked for; all are used.",
            "warning",
        )
    stages.progress(job.attempt, done=have, total=have, rate=None)
    return PromptsResult(source="dataset", dataset=name)


def _write_prompts(job: StageWork, seeds: Dataset) -> PromptsResult:
    config = job.config.prompts
    generated = selectors.generated_prompts(job.iteration)
    # The newest round may be incomplete, so it is repeated; its saved prompts stay unchanged.
    newest = max((number for _, number in generated), default=0)
    earlier = sum(number < newest for _, number in generated)
    progress = _WritingProgress(job, done=earlier, total=config.count)
    tasks = list(seeds.prompts.exclude(messages=[]).values_list("text", flat=True))
    if (long := len(tasks) - len(usable_demonstrations(tasks))) and not generated and config.template == "few_shot":
        events.log(
            job.run.pk,
            f"{long} of the {len(tasks)} seed tasks have more than {MAX_WORDS} words, the limit of new prompts: they "
            "are not shown to the writer, but new prompts are still compared with them.",
        )
    writer = write_prompts(
        tasks,
        generated,
        count=config.count,
        engine=WatchedEngine(job.writer(), progress),
        template=config.template,
        sampling=Sampling(config.temperature, config.top_p, job.config.candidates.max_new_tokens),
        seed=job.seed("self-instruct"),
        avoid=selectors.earlier_generated_prompts(job.iteration),
        held_out=leakage.held_out_texts(measuring_names(job.config)),
    )
    progress.save_in_batches(writer, progress.save, units_of=lambda draft: int(isinstance(draft, PromptDraft)))
    progress.publish()
    if not progress.done:
        raise Halt(
            StageAttempt.Reason.NO_PROMPT,
            "Self-instruct wrote no prompt that passed the filters. The model may be too small to follow the "
            "few-shot format: take prompts from a data set instead (clone the run and set prompts.source).",
        )
    if progress.done < config.count:
        events.log(
            job.run.pk,
            f"Self-instruct wrote {progress.done} prompts, fewer than the {config.count} asked for: "
            f"{FRUITLESS_ROUNDS} rounds in a row added none. All are used; removed drafts are under Samples.",
            "warning",
        )
    return PromptsResult(source="self_instruct", dataset=seeds.name, removed=_removed(job))


class _WritingProgress(Progress):
    """Progress that saves accepted prompts and rejected drafts, and counts both."""

    def __init__(self, job: StageWork, *, done: int, total: int) -> None:
        self.job = job
        super().__init__(job.heartbeat, done=done, total=total)

    def save(self, drafts: list[PromptDraft | RejectedDraft]) -> None:
        """Save accepted prompts and rejected drafts."""
        rejected = [draft for draft in drafts if isinstance(draft, RejectedDraft)]
        kept = [draft for draft in drafts if isinstance(draft, PromptDraft)]
        rows.save_rejected_prompts(self.job.attempt, self.job.iteration, rejected)
        if kept:
            rows.save_generated_prompts(self.job.attempt, self.job.iteration, kept)

    def publish(self) -> None:
        self.figures = {"removed": _removed(self.job)}
        super().publish()


def _removed(job: StageWork) -> dict[str, int]:
    """Return the number of rejected drafts by reason."""
    removed = job.iteration.rejected_prompts.values_list("reason").annotate(Count("pk"))
    return dict(removed.order_by("reason"))


def collect_responses(job: StageWork) -> ResponsesResult:
    """Generate ``n`` candidates per prompt with the student, or use those of the data set."""
    prompts = selectors.iteration_prompts(job.iteration)
    existing = job.candidates().count()
    if job.recorded:
        stages.progress(job.attempt, done=existing, total=existing, rate=None)
        return ResponsesResult(dataset=job.config.candidates.from_dataset)
    n = job.config.candidates.n
    progress = Progress(job.heartbeat, done=existing, total=len(prompts) * n)
    with TeacherOverlap(job) if existing < progress.total else nullcontext():
        job.generate(
            prompts,
            purpose=Response.Purpose.CANDIDATE,
            n=n,
            section=job.config.candidates,
            progress=progress,
            checkpoint=job.start,
        )
    return ResponsesResult(cut=_cut(job, job.candidates(), "responses"))


def _cut(job: StageWork, responses: QuerySet[Response], what: str) -> int:
    """Return how many responses the token limit cut, and log it with the setting to change."""
    total, cut = responses.count(), responses.filter(finish_reason=Response.CUT).count()
    if cut:
        limit = job.config.candidates.max_new_tokens
        events.log(
            job.run.pk,
            f"{cut} of {total} {what} were cut after {limit} tokens. A cut response is chosen for a pair only if all "
            "responses to its prompt were cut, and its end is not trained. If there are many, clone the run with a "
            "higher candidates.max_new_tokens.",
            "warning" if cut > 0.1 * total else "info",
        )
    return cut


def demonstrate(job: StageWork, overlapping_stage: Stage | None = None) -> DemonstrationsResult:
    """Generate the teacher's demonstration for every prompt (Luo et al., section 3.3)."""
    prompts = selectors.iteration_prompts(job.iteration)
    made = job.iteration.responses.filter(purpose=Response.Purpose.DEMONSTRATION).count()
    progress = Progress(job.heartbeat, done=made, total=len(prompts), overlapping_stage=overlapping_stage)
    job.generate(prompts, purpose=Response.Purpose.DEMONSTRATION, n=1, section=job.config.candidates, progress=progress)
    shown = job.iteration.responses.filter(purpose=Response.Purpose.DEMONSTRATION)
    return DemonstrationsResult(teacher=job.teacher_name, cut=_cut(job, shown, "demonstrations"))


def judge_candidates(job: StageWork) -> JudgementsResult:
    """Score every candidate with the student or the teacher, or use the scores of the data set."""
    responses = job.candidates()
    total = responses.count()
    if job.config.judging.recorded_scores:
        recorded = scores.judgements(responses, job.score_rule)
        stages.progress(job.attempt, done=recorded.count(), total=total, rate=None)
        return JudgementsResult(**_judgement_figures(recorded))
    judge = job.judge_of_pairs()
    made = scores.judgements(responses, job.score_rule)
    progress = _judging_progress(job, made, total)
    job.judge(responses, source=job.score_rule.source, checkpoint=judge.checkpoint, progress=progress)
    progress.after_save()
    # A verifier's scores are what the checks say: none of the alarms of a judge applies.
    verifies = judge.checkpoint is None and job.config.teacher.entry.verifies
    health = {} if verifies else _health(job, made, judge)
    return JudgementsResult(judge=judge.name, health=health, **_judgement_figures(made))


def _health(job: StageWork, made: QuerySet[Judgement], judge: Judge) -> dict[str, Health | OrderHealth]:
    """Record the health of the judge of the candidates."""
    return record_health(job, {"judge": controlled(job, health_of(made), made, checkpoint=judge.checkpoint)})


def judge_overlapping(job: StageWork, overlapping_stage: Stage) -> None:
    """Score candidates with the remote teacher while more of them are generated."""
    total = len(selectors.iteration_prompts(job.iteration)) * job.config.candidates.n
    job.judge_of_pairs()
    progress = _judging_progress(job, scores.judgements(job.candidates(), job.score_rule), total, overlapping_stage)
    job.judge_arriving(job.candidates(), progress=progress)


def _judging_progress(
    job: StageWork, made: QuerySet[Judgement], total: int, overlapping_stage: Stage | None = None
) -> JudgementProgress:
    expected = total * job.config.judging.k
    return JudgementProgress(
        job, made, done=made.count(), total=total, expected=expected, overlapping_stage=overlapping_stage
    )


def _parsed(judgements: QuerySet[Judgement]) -> tuple[int, int]:
    totals = judgements.aggregate(replies=Sum("sample_count"), parsed=Sum("parsed_count"))
    return totals["replies"] or 0, totals["parsed"] or 0


def _judgement_figures(judgements: QuerySet[Judgement]) -> dict[str, Any]:
    replies, parsed = _parsed(judgements)
    means = judgements.aggregate(mean=Avg("score"), spread=Avg("spread"))
    return {"parse_rate": parsed / replies if replies else None, "unparsed": replies - parsed, **means}


def make_pairs(job: StageWork) -> PairsResult:
    """Make preference pairs, and save per prompt why it gave one or none."""
    outcomes, origin = _pair_outcomes(job)
    outcomes = with_left_out(outcomes, selectors.left_out(job.iteration))
    count = rows.save_pairs(job.attempt, job.iteration, outcomes, origin=origin)
    without = [outcome for outcome in outcomes if isinstance(outcome, NoPair)]
    if not count:
        reasons = Counter(row.reason for row in without).most_common()
        why = " ".join(f"{number} × {reason}" for reason, number in reasons)
        raise CannotContinue(
            f"No pair could be made from {len(outcomes)} prompts: {why or 'there was nothing to pair.'} "
            "Nothing can be trained without a pair: look at the scores under Samples, then clone the run with more "
            "candidates, another judge or a smaller min_margin."
        )
    stages.progress(job.attempt, done=count, total=count, rate=None)
    return PairsResult(
        pairs=count, none=len(outcomes) - count, reasons=dict(Counter(row.code.value for row in without))
    )


def _pair_outcomes(job: StageWork) -> tuple[list[PairDraft | NoPair], str]:
    """Return the outcome of each prompt under the run's pairing rule, and the origin of the pairs."""
    config, origins = job.config, PreferencePair.Origin
    if config.pairs.from_dataset:
        dataset = Dataset.objects.get(name=config.pairs.from_dataset)
        ready = selectors.imported_pairs(job.iteration, dataset, config.prompts.count, config.seed)
        rows.use_prompts(job.attempt, job.iteration, list(dict.fromkeys(pair.prompt_id for pair in ready)))
        return list(ready), origins.IMPORTED
    if config.demonstrates:
        shown = selectors.response_rows(job.iteration.responses.filter(purpose=Response.Purpose.DEMONSTRATION))
        return demonstration_pairs(shown, selectors.response_rows(job.candidates())), origins.DEMONSTRATION
    candidates = scores.scored(job.candidates(), job.score_rule)
    if config.pairs.rule == "random":
        drawn = random_pairs(candidates, run_seed=job.seed("random pairs"), min_margin=config.pairs.min_margin)
        return drawn, origins.RANDOM
    origin = origins.SELF if job.score_rule.source == Judgement.Source.SELF else origins.TEACHER
    return max_min_pairs(candidates, min_margin=config.pairs.min_margin), origin
