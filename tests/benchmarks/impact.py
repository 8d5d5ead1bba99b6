"""How early wrong pairs appear in a queue ordered by impact, compared with a random and with the best order.

    python -m tests.benchmarks.impact [--data ../shared/data]

A *wrong pair* is a pair of the current judge that the person orders strictly the other way. Equal scores by the person
are counted separately (``or equal``), because a person may either call them a tie or confirm the pair. The queue is
made as in the product: one pair per prompt, highest against lowest score of the current judge, lowest index on ties.
The scores of the other judge are known; the person's scores are used for counting only.

Columns: number of pairs; number of wrong pairs; and the share of the wrong pairs in the first 10, 20 and 50 % of the
queue, ordered by impact, at random (mean of 20 shuffles), ideally (all wrong pairs first), and in hindsight: by the
share of wrong pairs among those with the same two margins, the best possible order that depends on the margins only,
fitted to the same answers that it is measured on. Equal impacts keep the order of the file.
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
    """A response with the scores of the current judge, of another judge and of the person."""

    text: str
    force: float | None
    other: float | None
    person: float | None


@dataclass(frozen=True, slots=True)
class Queued:
    """A pair in the queue. ``gap`` is the person's score difference, chosen minus rejected."""

    impact: float
    margins: tuple[float | None, float | None]
    gap: float


def queue_of(prompts: Sequence[Sequence[Candidate]]) -> list[Queued]:
    """Return the pairs that the person scored, in the order of the file."""
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
    """Return the share of wrong pairs in the first part of an order, per entry of :data:`SHARES`."""
    return [sum(wrong[place] for place in order[: round(share * len(order))]) / sum(wrong) for share in SHARES]


def at_random(wrong: Sequence[bool]) -> list[float]:
    draw = random.Random(1)
    shuffles = [found(draw.sample(range(len(wrong)), len(wrong)), wrong) for _ in range(SHUFFLES)]
    return [sum(column) / SHUFFLES for column in zip(*shuffles, strict=True)]


def in_hindsight(queue: Sequence[Queued], wrong: Sequence[bool]) -> list[float]:
    """Order by the share of wrong pairs among those with equal margins, the best order by margins alone."""
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
    """GPT-4 scored three times: as current judge, other judge and person, in all six permutations."""
    rows = _lines(folder / "prometheus_vicuna_80.jsonl")
    return [
        [Candidate(one["text"], *(one["scores_3"][place] for place in turn)) for one in row["responses"]]
        for turn in permutations(range(3))
        for row in rows
        if all(len(one["scores_3"]) == 3 for one in row["responses"])
    ]


def llmbar(folder: Path) -> list[list[Candidate]]:
    """ChatGPT's verdict in one order is the current judge, in the other order the other judge; labels by people."""
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
    """Three people judged each pair: first the current judge, second the other judge, third the person."""
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
