"""Evaluation fine-tuning data: judgements whose ranking agrees with people's (001 section 3.1.1).

A prompt's judgements are kept where their ranking agrees with people's. Prompts are divided into a part that trains and
one that is held out; of the part that trains, some of the most common score are discarded so that it is not too skewed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from training.domain.judges import Judge
from training.domain.rows import AGREEING, PromptOutcome
from training.domain.seeds import derive_seed

Part = Literal["train", "eval"]
#: The outcomes in words for the screen.
OUTCOME_WORDS: Final = {
    PromptOutcome.RANKING_TRAINS: "Agrees with people: trains the judge.",
    PromptOutcome.RANKING_HELD_OUT: "Agrees with people: held out to measure on.",
    PromptOutcome.RANKING_DIFFERS: "The ranking differs from people's.",
    PromptOutcome.RANKING_UNKNOWN: "Too few replies held a score to rank.",
}


@dataclass(frozen=True, slots=True)
class RankedJudgement:
    """A response that people ranked (1 = best) with one reply about it. ``score`` ``None``: unparsed.

    ``draw``: which of the k replies on each response of the prompt this is. ``key`` is the caller's own.
    """

    prompt_key: str
    rank: float
    score: float | None
    draw: int = 0
    key: int = 0


@dataclass(frozen=True, slots=True)
class EFTSelection:
    """The judgements kept, and the numbers of each step.

    ``outcomes`` says of every prompt what became of it: a part, or why it is in none.
    """

    train: tuple[RankedJudgement, ...]
    evaluation: tuple[RankedJudgement, ...]
    asked: int  #: replies
    parsed: int
    prompts: int
    agreeing_prompts: int
    agreeing: int  #: replies of the draws that agree
    thinned: int
    common_score: float | None  #: the score that was thinned out
    outcomes: dict[str, PromptOutcome]


def agrees_with_people(group: Sequence[RankedJudgement]) -> bool:
    """True where every two responses of one prompt that people rank differently have scores in that order.

    Equal scores for differently ranked responses are no agreement. Responses that people tied may score anything; but
    where they tied all of them, there is no ranking to agree with.
    """
    return len({row.rank for row in group}) >= 2 and all(
        one.score is not None and other.score is not None and one.score > other.score
        for one in group
        for other in group
        if one.rank < other.rank
    )


def select_eft(
    judgements: Iterable[RankedJudgement], *, run_seed: int, eval_share: float = 0.25, most_common_share: float = 0.4
) -> EFTSelection:
    """Keep the judgements that agree with people, divide them by prompt, and thin out the most common score.

    A reply that did not parse takes no part. Each draw of a prompt is a ranking of its own; of those that agree the
    first is kept, so that more draws give more prompts and none twice. Of the training part, judgements of the most
    common score are dropped, drawn by the run's seed, until they are at most ``most_common_share`` of it; the
    evaluation part stays as it is.

    Raises :class:`ValueError` for shares that are none.
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
    """The rows without some of the most common score, and that score."""
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
    """(train, eval): disjoint sets of prompts. A prompt's place depends on its key and the seed alone."""
    border = int(eval_share * 1_000_000)
    evaluation = {key for key in prompt_keys if derive_seed(run_seed, "eft_split", key) % 1_000_000 < border}
    return set(prompt_keys) - evaluation, evaluation


def judge_reply(judge: Judge, rationale: str, score: float) -> str:
    """The judge's reply that a person's reason and score (0 to 5) stand for, on the judge's own scale.

    A reason of one line is concluded on that line, a longer one on a line of its own.
    """
    said = rationale.strip()
    between = "\n" if "\n" in said else " "
    return f"{said}{between}{judge.parser.conclusion(judge.from_run_scale(score))}"


def normalized_words(text: str) -> str:
    """What makes two prompts the same however they are set: words alone, in small letters."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text.casefold()).split())


def overlapping_prompts(prompts: Iterable[tuple[str, str]], trained_on: Collection[str]) -> set[str]:
    """Keys of the (key, text) prompts whose words are those of a prompt trained on: EFT must not overlap IFT."""
    known = {normalized_words(text) for text in trained_on}
    return {key for key, text in prompts if normalized_words(text) in known}
