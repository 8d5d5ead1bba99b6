"""Screen texts of the samples page."""

from __future__ import annotations

from typing import Final

from alignment_app.models import Comparison

#: Filters of prompts.
PROMPT_FILTERS: Final = {
    "pair": "With a pair",
    "none": "Without a pair",
    "unparsed": "With an unparsed judgement",
    "waiting": "Not yet judged",
    "alike": "Equal scores",
    "longest": "Longest response scored highest",
    "agrees": "Agrees with human ranking",
}
#: Filters of head-to-head comparisons.
COMPARISON_FILTERS: Final = {
    "win": "Won",
    "tie": "Tied",
    "lose": "Lost",
    "changed": "Verdict depends on order",
}


def preferred(comparison: Comparison, newer_is: str) -> str:
    """Return the name of the checkpoint that the judge preferred.

    :param newer_is: position of the newer checkpoint, ``"first"`` or ``"second"``.
    """
    verdict = comparison.verdict_first if newer_is == "first" else comparison.verdict_second
    evaluation = comparison.evaluation
    if verdict not in ("first", "second"):
        return "neither" if verdict == "tie" else "none (unparsed)"
    if verdict == newer_is:
        return evaluation.checkpoint.name
    return evaluation.against.name if evaluation.against else "the older checkpoint"
