"""The words of the page of samples."""

from __future__ import annotations

from typing import Final

from alignment_app.models import Comparison

#: What a page of prompts can be narrowed to.
PROMPT_FILTERS: Final = {
    "pair": "Made a pair",
    "none": "Made no pair",
    "unparsed": "With an unparsed judgement",
    "waiting": "Not judged yet",
    "alike": "All scored alike",
    "longest": "Longest scored highest",
    "agrees": "Ranked as people do",
}
#: What a page of head-to-head comparisons can be narrowed to.
COMPARISON_FILTERS: Final = {
    "win": "Won",
    "tie": "Tied",
    "lose": "Lost",
    "changed": "Changed with the order",
}


def preferred(comparison: Comparison, newer_is: str) -> str:
    """What the judge preferred with the newer checkpoint shown ``newer_is``: "first" or "second"."""
    verdict = comparison.verdict_first if newer_is == "first" else comparison.verdict_second
    evaluation = comparison.evaluation
    if verdict not in ("first", "second"):
        return "neither" if verdict == "tie" else "nothing that could be read"
    if verdict == newer_is:
        return evaluation.checkpoint.name
    return evaluation.against.name if evaluation.against else "the older one"
