"""The rows and sentences of the miniature's table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from training.domain.metrics import sign_test

PARADIGMS = ("self_reward", "teacher_reward", "teacher_demonstration", "random")


@dataclass
class Measured:
    """Figures of one checkpoint. ``right`` and ``scores`` have one entry per held-out prompt."""

    seed: int
    paradigm: str
    checkpoint: str
    right: list[bool]
    scores: list[int]
    greedy_right: int
    parse_rate: float | None
    pairwise: float | None
    untied: int
    ordered: float | None
    unequal: int
    ordered_of_m1: float | None
    unequal_of_m1: int
    pairs: int = 0
    pairs_in_order: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def table(results: Sequence[Measured]) -> str:
    """Return the results as a Markdown table, with a seed's paradigms below its M1."""
    head = (
        "seed",
        "paradigm",
        "checkpoint",
        "mean score",
        "right",
        "full marks",
        "won / tied / lost",
        "sign test p",
        "greedy right",
        "judge parsed",
        "pairwise accuracy",
        "all unequal pairs ordered",
        "the same on M1's answers",
        "pairs in order",
        "seconds",
    )
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    m1 = {result.seed: result for result in results if result.checkpoint == "M1"}
    for result in sorted(results, key=lambda r: (r.seed, (r.paradigm and PARADIGMS.index(r.paradigm) + 1) or 0)):
        before = None
        if result.checkpoint == "M2":
            before = m1[result.seed]
        elif result.checkpoint != "M1":
            number = int(result.checkpoint[1:]) - 1
            before = next(
                r for r in results if (r.seed, r.paradigm, r.checkpoint) == (result.seed, result.paradigm, f"M{number}")
            )
        wins = ties = losses = 0
        p = None
        if before is not None:
            wins = sum(new > old for new, old in zip(result.scores, before.scores, strict=True))
            losses = sum(new < old for new, old in zip(result.scores, before.scores, strict=True))
            ties = len(result.scores) - wins - losses
            p = sign_test(
                sum(new and not old for new, old in zip(result.right, before.right, strict=True)),
                sum(old and not new for new, old in zip(result.right, before.right, strict=True)),
            )
        cells = (
            str(result.seed),
            result.paradigm.replace("_", " ") or "-",
            result.checkpoint,
            f"{statistics.fmean(result.scores):.2f}",
            f"{sum(result.right)} of {len(result.right)}",
            str(sum(score == 5 for score in result.scores)),
            f"{wins} / {ties} / {losses}" if before else "-",
            "-" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.4f}",
            str(result.greedy_right),
            _share(result.parse_rate, 1),
            f"{_share(result.pairwise)} of {result.untied}",
            f"{_share(result.ordered)} of {result.unequal}",
            f"{_share(result.ordered_of_m1)} of {result.unequal_of_m1}",
            f"{result.pairs_in_order} of {result.pairs}" if result.pairs else "-",
            f"{sum(s for name, s in result.seconds.items() if name != 'build' or result.checkpoint == 'M1'):.0f}",
        )
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def seconds_to_m2(results: Sequence[Measured]) -> str:
    """Return a sentence per seed and paradigm with the total time to an evaluated M2.

    It says "from nothing" only if the miniature was built in the same run.
    """
    m1 = {result.seed: sum(result.seconds.values()) for result in results if result.checkpoint == "M1"}
    built = {result.seed: result.seconds.get("build", 0.0) for result in results if result.checkpoint == "M1"}
    return "\n".join(
        f"{_start(built[result.seed])} to an evaluated M2, seed {result.seed}, {result.paradigm.replace('_', ' ')}: "
        f"{m1[result.seed] + sum(s for name, s in result.seconds.items() if name != 'build'):.0f} seconds."
        for result in results
        if result.checkpoint == "M2"
    )


def _start(build_seconds: float) -> str:
    """Loading a cached miniature takes a fraction of a second; building one takes a minute or more."""
    return "From nothing" if build_seconds > 5 else "With a miniature that was there,"


def _share(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"
