"""Evaluation fine-tuning data: judgements whose ranking agrees with people's (001 section 3.1.1)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from training.domain.judges import Judge
from training.domain.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class RankedJudgement:
    """A response that people ranked (1 = best) with one judgement of it. ``score`` ``None``: unparsed."""

    prompt_key: str
    instruction: str
    response: str
    rank: float
    raw: str
    score: float | None


@dataclass(frozen=True, slots=True)
class EFTSelection:
    """The judgements kept for training, with the numbers of each step for the screen."""

    kept: tuple[RankedJudgement, ...]
    judged: int
    unparsed: int
    disagreeing: int
    thinned: int


def agrees_with_people(group: Sequence[RankedJudgement]) -> bool:
    """True where every two responses of one prompt that people rank differently have scores in that order.

    Equal scores for differently ranked responses are no agreement. Responses that people tied may score anything.
    """
    return len(group) >= 2 and all(
        one.score is not None and other.score is not None and one.score > other.score
        for one in group
        for other in group
        if one.rank < other.rank
    )


def select_eft(judgements: Sequence[RankedJudgement], *, run_seed: int, most_common_share: float = 0.4) -> EFTSelection:
    """Keep the judgements of prompts whose ranking agrees with people's, then thin out the most common score.

    Unparsed judgements go first. Judgements of the most common score are dropped, drawn by the run's seed, until they
    are at most ``most_common_share`` of what is kept.
    """
    if not 0 < most_common_share <= 1:
        raise ValueError("most_common_share must be above 0 and at most 1")
    parsed = [row for row in judgements if row.score is not None]
    groups: dict[str, list[RankedJudgement]] = {}
    for row in parsed:
        groups.setdefault(row.prompt_key, []).append(row)
    agreeing = [row for group in groups.values() if agrees_with_people(group) for row in group]
    kept = _thin(agreeing, run_seed, most_common_share)
    return EFTSelection(
        tuple(kept),
        len(judgements),
        len(judgements) - len(parsed),
        len(parsed) - len(agreeing),
        len(agreeing) - len(kept),
    )


def _thin(rows: list[RankedJudgement], run_seed: int, share: float) -> list[RankedJudgement]:
    if not rows or share >= 1:
        return rows
    common, count = Counter(row.score for row in rows).most_common(1)[0]
    others = len(rows) - count
    # c / (c + others) <= share  <=>  c <= share·others / (1 - share)
    allowed = min(count, int(share * others / (1 - share))) if others else count
    places = [place for place, row in enumerate(rows) if row.score == common]
    keep = set(random.Random(derive_seed(run_seed, "eft_thin")).sample(places, allowed))
    return [row for place, row in enumerate(rows) if row.score != common or place in keep]


def split_prompts(prompt_keys: Sequence[str], *, run_seed: int, eval_share: float = 0.25) -> tuple[set[str], set[str]]:
    """(train, eval): disjoint sets of prompts. A prompt's place depends on its key and the seed alone."""
    border = int(eval_share * 1_000_000)
    evaluation = {key for key in prompt_keys if derive_seed(run_seed, "eft_split", key) % 1_000_000 < border}
    return set(prompt_keys) - evaluation, evaluation


def demonstrated(judge: Judge, rationale: str, score: float) -> str:
    """The judge's reply that a person's reason and score (0 to 5) stand for, on the judge's own scale.

    A reason of one line is concluded on that line, a longer one on a line of its own.
    """
    said = rationale.strip()
    between = "\n" if "\n" in said else " "
    return f"{said}{between}{judge.parser.conclusion(judge.off_run_scale(score))}"
