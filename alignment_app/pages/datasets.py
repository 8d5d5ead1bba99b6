"""Screen texts of the data set pages."""

from __future__ import annotations

from alignment_app.selectors.datasets import Counts


def counts_in_words(counts: Counts) -> str:
    """Format row counts as "300 prompts, 1 pair"; empty for a data set without rows."""
    named = (
        (counts.prompts, "prompt"),
        (counts.responses, "response"),
        (counts.judgements, "score"),
        (counts.pairs, "pair"),
    )
    return ", ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in named if count)
