"""Evaluation fine-tuning (EFT) data: judgements whose ranking agrees with people's (Yuan et al., 2024, section 3.1.1).

Prompts are split into a training part and a held-out part. In the training part, some judgements with the most common
score are discarded to reduce the skew.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from training.domain.judges import Judge
from training.domain.rows import AGREEING, PromptOutcome
from training.domain.scores import comparable
from training.domain.seeds import derive_seed

Part = Literal["train", "eval"]
#: Display text of each outcome.
OUTCOME_WORDS: Final = {
    PromptOutcome.RANKING_TRAINS: "Agrees with people: trains the judge.",
    PromptOutcome.RANKING_HELD_OUT: "Agrees with people: held out for evaluation.",
    PromptOutcome.RANKING_DIFFERS: "The ranking differs from people's.",
    PromptOutcome.RANKING_UNKNOWN: "Too few replies held a score.",
}


@dataclass(frozen=True, slots=True)
class RankedJudgement:
    """One judgement of a response that people ranked (1 = best). ``score`` is ``None`` if the reply did not parse.

    ``draw`` is the index among the k judgements of the response. ``key`` is for the caller's use.
    """

    prompt_key: str
    rank: float
    score: float | None
    draw: int = 0
    key: int = 0


@dataclass(frozen=True, slots=True)
class EFTSelection:
    """The selected judgements, the counts of each step, and the outcome of each prompt by its key."""

    train: tuple[RankedJudgement, ...]
    evaluation: tuple[RankedJudgement, ...]
    asked: int  #: number of replies
    parsed: int
    prompts: int
    agreeing_prompts: int
    agreeing: int  #: replies in draws that agree
    thinned: int  #: replies discarded for their score
    common_score: float | None  #: the most common score
    outcomes: dict[str, PromptOutcome]


def agrees_with_people(group: Sequence[RankedJudgement]) -> bool:
    """Whether the scores order the responses of one prompt as people rank them.

    Responses with different ranks must have different scores, in the same order. Responses that people tied may have
    any score, but at least two ranks must differ.
    """
    return len({row.rank for row in group}) >= 2 and all(
        one.score is not None and other.score is not None and comparable(one.score) > comparable(other.score)
        for one in group
        for other in group
        if one.rank < other.rank
    )


def select_eft(
    judgements: Iterable[RankedJudgement], *, run_seed: int, eval_share: float = 0.25, most_common_share: float = 0.4
) -> EFTSelection:
    """Select the judgements that agree with people, split them by prompt, and reduce the most common score.

    Each draw is a ranking of its own; of the draws of a prompt that agree, the first is kept. Unparsed replies are
    ignored. In the training part, random judgements with the most common score (drawn by the run's seed) are discarded
    until they make up at most ``most_common_share``; the evaluation part is unchanged.

    Raises :class:`ValueError` if a share is out of range.
    """
    if not 0 < most_common_share <= 1:
        raise ValueError("most_common_share must be above 0 and at most 1")
    if not 0 <= eval_share < 1:
        raise ValueError("eval_share must be at least 0 and below 1")
    draws: dict[str, dict[int, list[RankedJudgement]]] = {}
    asked = parsed = 0
    for row in judgements:
        group = draws.setdefault(row.prompt_key, {}).setdefault(row.draw, [])
        asked += 1
        if row.score is not None:
            parsed += 1
            group.append(row)
    train_keys, _ = split_prompts(list(draws), run_seed=run_seed, eval_share=eval_share)
    parts: dict[Part, list[RankedJudgement]] = {"train": [], "eval": []}
    outcomes: dict[str, PromptOutcome] = {}
    for key, by_draw in draws.items():
        agreeing = next((by_draw[draw] for draw in sorted(by_draw) if agrees_with_people(by_draw[draw])), None)
        if agreeing is None:
            ranked = any(len({row.rank for row in group}) >= 2 for group in by_draw.values())
            outcomes[key] = PromptOutcome.RANKING_DIFFERS if ranked else PromptOutcome.RANKING_UNKNOWN
            continue
        part: Part = "train" if key in train_keys else "eval"
        parts[part] += agreeing
        outcomes[key] = PromptOutcome.RANKING_TRAINS if part == "train" else PromptOutcome.RANKING_HELD_OUT
    kept, common = _thin(parts["train"], run_seed, most_common_share)
    agreeing_count = len(parts["train"]) + len(parts["eval"])
    return EFTSelection(
        train=tuple(kept),
        evaluation=tuple(parts["eval"]),
        asked=asked,
        parsed=parsed,
        prompts=len(draws),
        agreeing_prompts=sum(outcome in AGREEING for outcome in outcomes.values()),
        agreeing=agreeing_count,
        thinned=len(parts["train"]) - len(kept),
        common_score=common,
        outcomes=outcomes,
    )


def _thin(rows: list[RankedJudgement], run_seed: int, share: float) -> tuple[list[RankedJudgement], float | None]:
    """Discard some rows with the most common score. Returns the rows kept and that score."""
    if not rows:
        return rows, None
    common, count = Counter(row.score for row in rows).most_common(1)[0]
    others = len(rows) - count
    if share >= 1 or not others:
        return rows, common
    # c / (c + others) <= share  <=>  c <= share·others / (1 - share)
    allowed = min(count, int(share * others / (1 - share)))
    places = [place for place, row in enumerate(rows) if row.score == common]
    keep = set(random.Random(derive_seed(run_seed, "eft_thin")).sample(places, allowed))
    return [row for place, row in enumerate(rows) if row.score != common or place in keep], common


def split_prompts(prompt_keys: Sequence[str], *, run_seed: int, eval_share: float = 0.25) -> tuple[set[str], set[str]]:
    """Split prompts into disjoint sets (train, eval). The split of a prompt depends only on its key and the seed."""
    border = int(eval_share * 1_000_000)
    evaluation = {key for key in prompt_keys if derive_seed(run_seed, "eft_split", key) % 1_000_000 < border}
    return set(prompt_keys) - evaluation, evaluation


def judge_reply(judge: Judge, rationale: str, score: float) -> str:
    """Format a person's rationale and score (0 to 5) as a reply of the judge, on the judge's own scale.

    The conclusion follows a single-line rationale on the same line, and a longer one on a new line.
    """
    text = rationale.strip()
    separator = "\n" if "\n" in text else " "
    return f"{text}{separator}{judge.parser.conclusion(judge.from_run_scale(score))}"


def normalized_words(text: str) -> str:
    """Reduce a text to its words in lower case, to compare prompts without case and punctuation."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text.casefold()).split())


def overlapping_prompts(prompts: Iterable[tuple[str, str]], trained_on: Collection[str]) -> set[str]:
    """Return the keys of the (key, text) prompts that equal a training prompt after :func:`normalized_words`."""
    known = {normalized_words(text) for text in trained_on}
    return {key for key, text in prompts if normalized_words(text) in known}
