"""Score and compare responses by the checks of their prompts, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.domain.rows import (
    ComparisonDraft,
    ComparisonItem,
    JudgementDraft,
    JudgementSample,
    PromptRow,
    ResponseRow,
    Verdict,
)
from training.domain.verifiers.verify import Verification, decide, verify

_POSITIONS: dict[str, tuple[Verdict, Verdict]] = {
    "win": ("first", "second"),
    "lose": ("second", "first"),
    "tie": ("tie", "tie"),
}


def verify_responses(items: Sequence[tuple[ResponseRow, PromptRow]]) -> Iterator[JudgementDraft]:
    """Yield the judgement of each response: one sample with the reasons, and the result of every check.

    Responses to prompts without checks yield no judgement.
    """
    for response, prompt in items:
        if not prompt.checks:
            continue
        found = verify(prompt.checks, prompt.last_turn, response.text)
        sample = JudgementSample(found.text, found.score, seed=0, given=found.score)
        checks = tuple(result.as_data() for result in found.results)
        yield JudgementDraft(response.id, (sample,), found.score, 0.0, found.text, checks)


def compare_by_checks(items: Sequence[ComparisonItem]) -> Iterator[ComparisonDraft]:
    """Yield the outcome for A per prompt with checks: the response with the higher score wins.

    The order of the answers has no effect, so the verdicts in both orders agree.
    """
    for item in items:
        if not item.prompt.checks:
            continue
        a, b = (verify(item.prompt.checks, item.prompt.last_turn, one.text) for one in (item.a, item.b))
        outcome = decide(a, b)
        verdict_ab, verdict_ba = _POSITIONS[outcome]
        yield ComparisonDraft(
            prompt_id=item.prompt.id,
            response_a_id=item.a.id,
            response_b_id=item.b.id,
            verdict_ab=verdict_ab,
            verdict_ba=verdict_ba,
            outcome=outcome,
            raw_ab=_reasons(a, b),
            raw_ba=_reasons(b, a),
        )


def _reasons(first: Verification, second: Verification) -> str:
    return "\n\n".join(
        f"{place} answer, score {one.score:g} of 5\n{one.text}" for place, one in (("First", first), ("Second", second))
    )
