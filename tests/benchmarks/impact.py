"""How early the wrong pairs come in a queue by impact, beside a random order and beside what any order could reach.

    python -m tests.benchmarks.impact [--data ../shared/data]

A *wrong pair* is one that the judge in force made and whose order the person has strictly the other way round. Equal
scores by the person are counted apart (``or equal``), because a person may call those a tie as well as confirm them.
The queue is made as the product makes it: one pair a prompt, highest against lowest score of the judge in force, the
lowest index among equals. The other judge's scores are known; the person's are used for nothing but the counting.

Columns: pairs; wrong ones; the share of the wrong ones in the first 10, 20 and 50 % of the queue by impact, in random
order (mean of 20 shuffles), at most (all wrong ones first), and in hindsight: by the share of wrong ones among the
pairs with the same two margins, that is the best that any order could do that reads these two margins, fitted to the
very answers it is measured on. Equal impacts stand in the order of the file.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from training.domain.impact import JudgedResponse, estimate_variances, pair_impact
from training.domain.pairing import max_min_pairs
from training.domain.rows import PairDraft, ScoredResponse

SHARES = (0.1, 0.2, 0.5)
SHUFFLES = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response with the scores of the judge in force, of another judge and of the person."""

    text: str
    force: float | None
    other: float | None
    person: float | None


@dataclass(frozen=True, slots=True)
class Queued:
    """A pair as it stands in the queue. ``gap``: by how much the person has the chosen one ahead."""

    impact: float
    margins: tuple[float | None, float | None]
    gap: float


def queue_of(prompts: Sequence[Sequence[Candidate]]) -> list[Queued]:
    """The pairs of these prompts that the person scored, in the order of the file."""
    groups = [[JudgedResponse(row.force, None, row.other) for row in prompt] for prompt in prompts]
    variances = estimate_variances(groups)
    queue = []
    for prompt, group in zip(prompts, groups, strict=True):
        scored = [ScoredResponse(place, 0, place, row.text, row.force) for place, row in enumerate(prompt)]
        pair = max_min_pairs(scored)[0]
        if not isinstance(pair, PairDraft):
            continue
        places = (pair.chosen_id, pair.rejected_id)
        said = [prompt[place].person for place in places]
        if said[0] is None or said[1] is None:
            continue
        chosen, rejected = (group[place] for place in places)
        others = [row for place, row in enumerate(group) if place not in places]
        impact = pair_impact(chosen, rejected, others, variances)
        queue.append(Queued(impact, (_gap(chosen.score, rejected.score), _gap(chosen.other, rejected.other)),
                            said[0] - said[1]))  # fmt: skip
    return queue


def _gap(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def found(order: Sequence[int], wrong: Sequence[bool]) -> list[float]:
    """Share of the wrong ones in the first part of an order, for each of :data:`SHARES`."""
    return [sum(wrong[place] for place in order[: round(share * len(order))]) / sum(wrong) for share in SHARES]


def at_random(wrong: Sequence[bool]) -> list[float]:
    draw = random.Random(1)
    shuffles = [found(draw.sample(range(len(wrong)), len(wrong)), wrong) for _ in range(SHUFFLES)]
    return [sum(column) / SHUFFLES for column in zip(*shuffles, strict=True)]


def in_hindsight(queue: Sequence[Queued], wrong: Sequence[bool]) -> list[float]:
    """By the share of wrong ones among pairs with the same margins: no order that reads the margins alone is better."""
    cells: dict[Any, list[bool]] = defaultdict(list)
    for item, is_wrong in zip(queue, wrong, strict=True):
        cells[item.margins].append(is_wrong)
    rate = [sum(cells[item.margins]) / len(cells[item.margins]) for item in queue]
    return found(sorted(range(len(queue)), key=lambda place: -rate[place]), wrong)


def eft(folder: Path, force: str, other: str) -> list[list[Candidate]]:
    rows = _lines(folder / "eft_scores_200.jsonl")
    return [
        [
            Candidate(one["text"], *(_parsed(one["scores"].get(name)) for name in (force, other, "gpt")))
            for one in row["responses"]
        ]
        for row in rows
    ]


def _parsed(score: float | None) -> float | None:
    return None if score is None or score < 0 else float(score)


def prometheus(folder: Path) -> list[list[Candidate]]:
    """GPT-4 scored three times: one time in force, one as the other judge, one as the person, in all six ways."""
    rows = _lines(folder / "prometheus_vicuna_80.jsonl")
    return [
        [Candidate(one["text"], *(one["scores_3"][place] for place in turn)) for one in row["responses"]]
        for turn in permutations(range(3))
        for row in rows
        if all(len(one["scores_3"]) == 3 for one in row["responses"])
    ]


def llmbar(folder: Path) -> list[list[Candidate]]:
    """ChatGPT's verdict in one order is in force, in the other order the second judge; people's label decides."""
    points = {"1": (1.0, 0.0), "2": (0.0, 1.0), "None": (None, None)}
    return [
        [
            Candidate(name, points[row["winner_order_12"]][place], points[row["winner_order_21"]][place],
                      float(row["human_label"] == place + 1))
            for place, name in enumerate("ab")
        ]
        for row in _lines(folder / "both_orders_chatgpt.jsonl")
    ]  # fmt: skip


def pandalm(folder: Path) -> list[list[Candidate]]:
    """Three people judged each pair: the first is in force, the second the other judge, the third the person."""
    points = {1: (1.0, 0.0), 2: (0.0, 1.0), 0: (0.5, 0.5)}
    return [
        [Candidate(name, *(points[label][place] for label in row["annotators"])) for place, name in enumerate("ab")]
        for row in _lines(folder / "pandalm_999_three_annotators.jsonl")
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


SETS: dict[str, Callable[[Path], list[list[Candidate]]]] = {
    "eft_scores_200: M1 in force, gemini beside, gpt the person": lambda folder: eft(folder, "M1", "gemini"),
    "eft_scores_200: gemini in force, M1 beside, gpt the person": lambda folder: eft(folder, "gemini", "M1"),
    "prometheus_vicuna_80: GPT-4 three times, all six ways": prometheus,
    "both_orders_chatgpt: ChatGPT in both orders, people's label": llmbar,
    "pandalm_999: three people": pandalm,
}


def table(folder: Path) -> Iterator[str]:
    yield "| set | wrong means | pairs | wrong | by impact | random | at most | in hindsight |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, read in SETS.items():
        queue = queue_of(read(folder))
        for words, limit in (("the other way round", 0.0), ("or equal", 1e-9)):
            wrong = [item.gap < limit for item in queue]
            if words == "or equal" and sum(wrong) == sum(item.gap < 0 for item in queue):
                continue
            places = range(len(queue))
            columns = (
                found(sorted(places, key=lambda place: -queue[place].impact), wrong),
                at_random(wrong),
                found(sorted(places, key=lambda place: not wrong[place]), wrong),
                in_hindsight(queue, wrong),
            )
            cells = [" / ".join(f"{100 * value:.0f}" for value in column) for column in columns]
            yield f"| {name} | {words} | {len(queue)} | {sum(wrong)} | " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    folder = parser.parse_args().data
    if not folder.is_dir():
        print(f"{folder} is not there. Name the folder with the real data by --data.", file=sys.stderr)
        return 2
    for line in table(folder):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
