"""Save early-stopping comparisons and decisions, under the attempt's lease, idempotent by unique constraints."""

from __future__ import annotations

from collections.abc import Sequence

from alignment_app.models import Iteration, Judge, StageAttempt, StepCheck, StepComparison
from alignment_app.services import events
from alignment_app.services.rows import BATCH
from alignment_app.services.stages import leased, note
from training.domain.early_stopping import CheckpointComparison
from training.domain.rows import ComparisonDraft, storable


def save_comparisons(attempt: StageAttempt, iteration: Iteration, step: int, drafts: Sequence[ComparisonDraft]) -> None:
    """Save the verdicts on a step's answers, one per prompt."""
    with leased(attempt):
        StepComparison.objects.bulk_create(
            (
                StepComparison(
                    iteration=iteration,
                    step=step,
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


def decide(
    attempt: StageAttempt,
    iteration: Iteration,
    *,
    step: int,
    against: int | None,
    judge: Judge,
    finding: CheckpointComparison,
) -> StepCheck:
    """Save the decision for a step once, and log it."""
    with leased(attempt):
        check, is_new = StepCheck.objects.get_or_create(
            iteration=iteration,
            step=step,
            defaults={
                "against_step": against,
                "judge": judge,
                "wins": finding.wins,
                "ties": finding.ties,
                "losses": finding.losses,
                "unparsed": finding.unparsed,
                "decision": finding.decision,
                "reason": _sentence(step, against, finding),
            },
        )
        if is_new:
            events.log(iteration.run_id, check.reason)
            note(attempt, steps_checked=iteration.step_checks.count(), comparing=None)
    return check


def _sentence(step: int, against: int | None, finding: CheckpointComparison) -> str:
    if against is None:
        return f"Step {step} is the first checkpoint; the next checkpoint is compared with it."
    text = f"Step {step} won {finding.wins} and lost {finding.losses} validation prompts against step {against}"
    if finding.decision == "stop":
        return f"{text}: the step no longer wins, so training stops with the model of step {against}."
    if finding.decision == "undecided":
        return f"{text}: too few for a decision. Training continues."
    return f"{text}: training continues."
