"""Jobs that build EFT rows, which teach M1 to judge, from ranked responses (Yuan et al., 2024, section 3.1.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from alignment_app.models import Dataset, Judgement, Response
from alignment_app.selectors import work as selectors
from alignment_app.services import artifacts, eft_rows, events, rows, stages
from alignment_app.services.eft_rows import EFTRow
from training.domain.eft import Part, RankedJudgement, overlapping_prompts, select_eft
from training.engines.base import Engine
from training.jobs import rankings
from training.jobs.health import JudgementProgress, health_of, record_health
from training.jobs.rankings import IFT
from training.jobs.stage_work import CannotContinue, StageWork
from training.jobs.start_training import start_fine_tuning
from training.plan.judging_rows import EFTResult, EFTSelection, RankedJudgementsResult, RankedPromptsResult
from training.plan.training import TrainingResult


def fine_tune_on_ift(job: StageWork) -> TrainingResult:
    """Fine-tune M0 on IFT rows only. The model judges the ranked responses; it is not a checkpoint of the loop."""
    data = [row for row, _ in selectors.sft_rows(job.config.sft.datasets, job.config.sft.limit)]
    if not data:
        raise CannotContinue("The data sets of sft.datasets hold no rows. Import some, then resume.")
    result = start_fine_tuning(job, data, IFT, seed=job.seed("ift"), series=IFT)
    for note in result.notes:
        events.log(job.run.pk, note, "warning")
    artifacts.record_ift_model(job.attempt, job.iteration, result.model_dir)
    return TrainingResult(steps=result.steps, seconds=result.seconds, loss=result.loss)


def _ift_model(job: StageWork) -> Engine:
    location = job.iteration.ift_location
    if not (Path(settings.HOME) / location).is_dir():
        raise CannotContinue(f"The model fine-tuned on IFT, {location}, is missing. Clone the run and start again.")
    return job.student_at(location)


def choose_ranked(job: StageWork) -> RankedPromptsResult:
    """Select the ranked prompts that are not in the IFT data sets, so that EFT and IFT do not overlap."""
    name = job.config.eft.dataset
    dataset = Dataset.objects.get(name=name)
    ranked = selectors.ranked_prompts(dataset)
    if not ranked:
        raise CannotContinue(
            f"The data set {name!r} holds no prompt with ranked responses. Import rows whose responses have a rank "
            "(1 is best) under another name, and clone the run with it."
        )
    known = overlapping_prompts(
        [(prompt.content_hash, prompt.text) for prompt in ranked], selectors.trained_prompts(job.config.sft.datasets)
    )
    kept = [prompt for prompt in ranked if prompt.content_hash not in known]
    if not kept:
        raise CannotContinue(
            f"Every ranked prompt of {name!r} is in the IFT data sets too. Remove some prompts from those."
        )
    rows.use_prompts(job.attempt, job.iteration, [prompt.pk for prompt in kept])
    stages.progress(job.attempt, done=len(kept), total=len(kept), rate=None)
    return RankedPromptsResult(dataset=name, ranked=len(ranked), overlapping=len(ranked) - len(kept))


def judge_ranked(job: StageWork) -> RankedJudgementsResult:
    """Judge every ranked response ``eft.k`` times with the IFT model."""
    responses, judge = selectors.ranked_responses(job.iteration), rankings.ift_judge(job)
    rows.set_judge(job.attempt, job.iteration, judge, source=Judgement.Source.SELF)
    made = Judgement.objects.filter(source=Judgement.Source.SELF, judge=judge, response__in=responses.values("pk"))
    total = responses.count()
    progress = JudgementProgress(job, made, done=made.count(), total=total, expected=total * job.config.eft.k)
    if made.count() < total:
        rankings.judge_ranked(job, responses, _ift_model(job), judge=judge, progress=progress)
    progress.after_save()
    health = health_of(made)
    return RankedJudgementsResult(
        judge=IFT,
        health=record_health(job, {"judge": health}),
        parse_rate=health.parsed / health.replies if health.replies else None,
        unparsed=health.replies - health.parsed,
    )


def build_rows(job: StageWork) -> EFTResult:
    """Build EFT rows: keep judgements that agree with people, split off held-out ones, balance the scores."""
    config, form = job.config.eft, job.judge_of("judging.template")
    judged = Judgement.objects.filter(
        source=Judgement.Source.SELF,
        judge=rankings.ift_judge(job),
        response__in=selectors.ranked_responses(job.iteration).values("pk"),
    ).select_related("response__prompt")
    replies: list[tuple[Response, dict[str, Any]]] = []
    candidates: list[RankedJudgement] = []
    for judgement in judged.order_by("response__prompt__position", "response__prompt_id", "response__index"):
        response = judgement.response
        rank = selectors.rank_of(response)
        if rank is None:
            continue
        seeds = rankings.seeds(job, selectors.prompt_row(response.prompt).words, response.index)
        for sample in judgement.samples:
            candidates.append(
                RankedJudgement(
                    response.prompt.content_hash, rank, sample["score"], seeds.index(sample["seed"]), len(replies)
                )
            )
            replies.append((response, sample))
    chosen = select_eft(
        candidates, run_seed=job.config.seed, eval_share=config.eval_share, most_common_share=config.most_common_share
    )
    selection = EFTSelection(
        asked=chosen.asked,
        parsed=chosen.parsed,
        prompts=chosen.prompts,
        agreeing_prompts=chosen.agreeing_prompts,
        agreeing=chosen.agreeing,
        common_score=chosen.common_score,
        thinned=chosen.thinned,
        train=len(chosen.train),
        eval=len(chosen.evaluation),
    )
    made = len(chosen.train)
    stages.progress(job.attempt, done=made, total=made, rate=None, selection=selection)
    if not chosen.train:
        raise CannotContinue(
            f"No judgement is left to train on: of {chosen.asked} replies {chosen.parsed} contained a score, and "
            f"the ranking of {chosen.agreeing_prompts} of {chosen.prompts} prompts agrees with people's. Look at the "
            "replies under Samples; then clone the run with a larger eft.k, more ranked prompts or a stronger model."
        )

    def row(kept: RankedJudgement) -> EFTRow:
        response, sample = replies[kept.key]
        prompt = form.render(selectors.prompt_row(response.prompt).messages, response.text)
        return EFTRow(prompt, sample["raw"].strip(), sample["score"], response.pk)

    parts: dict[Part, list[EFTRow]] = {
        "train": [row(kept) for kept in chosen.train],
        "eval": [row(kept) for kept in chosen.evaluation],
    }
    ids = {response.prompt.content_hash: response.prompt_id for response, _ in replies}
    outcomes = {ids[key]: outcome for key, outcome in chosen.outcomes.items()}
    eft_rows.save(job.attempt, job.iteration, parts, outcomes)
    return EFTResult(selection=selection, ranking=rankings.figures_before(job))
