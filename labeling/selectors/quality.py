"""Quality of a queue's answers: agreement, gold items, pace, anchoring, and judge–human agreement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

from django.db.models import Count, QuerySet

from alignment_app.models import Judgement
from labeling.models import Queue, Review
from labeling.selectors import calibration
from labeling.selectors.calibration import JudgeAgreement
from labeling.selectors.resolutions import resolve_item
from training.domain.agreement import (
    IntervalEstimate,
    Level,
    agreement_level,
    alpha_with_interval,
    cohen_kappa,
    fleiss_with_interval,
    percent_with_interval,
)
from training.domain.calibration import calibrate
from training.domain.intervals import win_rate_interval

#: Agreement is computed on at most this many items, the newest, so that the page stays fast.
MAX_ITEMS = 5000


def answers_in_queue(queue: Queue) -> QuerySet[Review]:
    """Answers in force on the queue's items that are not gold."""
    return calibration.answers_in_force([queue])


@dataclass(frozen=True, slots=True)
class QueueAgreement:
    """Inter-annotator agreement of a queue. Shares are 0 to 1; ``pairs``: two names, Cohen's κ, number of items."""

    items: int
    percent: IntervalEstimate
    fleiss: IntervalEstimate
    alpha: IntervalEstimate
    level: str
    pairs: list[tuple[str, str, float | None, int]]


def answers_by_item(queue: Queue) -> tuple[list[str], list[list[Hashable | None]]]:
    """Names of the people, and a table of items by people with their answers.

    Items with fewer than two answers are left out.
    """
    value = "score" if queue.kind == Queue.Kind.SCORE else "decision"
    rows = answers_in_queue(queue).order_by("-task").values_list("task", "author", value)
    by_task: dict[int, dict[str, Any]] = defaultdict(dict)
    for task, author, answer in rows.iterator(chunk_size=2000):
        if task not in by_task and len(by_task) > MAX_ITEMS:
            break
        by_task[task][author] = answer
    several = [answers for answers in by_task.values() if len(answers) > 1][:MAX_ITEMS]
    names = sorted({name for answers in several for name in answers})
    return names, [[answers.get(name) for name in names] for answers in several]


def agreement(queue: Queue) -> QueueAgreement:
    """Percent agreement, Fleiss' κ and Krippendorff's α with intervals over items, and Cohen's κ per two people."""
    names, items = answers_by_item(queue)
    level: Level = "interval" if queue.kind == Queue.Kind.SCORE else "nominal"
    alpha = alpha_with_interval(items, level=level)
    pairs = []
    for one, other in combinations(range(len(names)), 2):
        a, b = [item[one] for item in items], [item[other] for item in items]
        both = sum(x is not None and y is not None for x, y in zip(a, b, strict=True))
        if both:
            weights: Any = "quadratic" if level == "interval" else "none"
            pairs.append((names[one], names[other], cohen_kappa(a, b, weights=weights), both))
    return QueueAgreement(
        len(items),
        percent_with_interval(items),
        fleiss_with_interval(items),
        alpha,
        agreement_level(alpha.value),
        pairs,
    )


@dataclass(frozen=True, slots=True)
class PersonStats:
    """One person in one queue. ``seconds``: median per answer; ``overrides``: share against the judge's pair."""

    name: str
    answers: int
    seconds: float | None
    too_fast: int
    gold_right: int
    gold: int
    overrides: float | None
    changed: int
    skipped: int
    late: int


def people(queue: Queue) -> list[PersonStats]:
    """Pace, gold items, overrides and changed answers of each person who answered."""
    lines = Review.objects.filter(queue=queue, adjudication=False).exclude(decision=Review.Decision.UNDO)
    skips = dict(lines.filter(decision="skip").values_list("author").annotate(n=Count("pk")))
    by_person: dict[str, list[dict[str, Any]]] = defaultdict(list)
    wanted = ("author", "decision", "score", "seconds", "too_fast", "gold_right", "first_answer", "late", "in_force")
    for row in lines.exclude(decision="skip").order_by("pk").values(*wanted):
        if row["in_force"] or row["late"]:
            by_person[row["author"]].append(row)
    return [_person(queue, name, rows, skips.get(name, 0)) for name, rows in sorted(by_person.items())]


def _person(queue: Queue, name: str, rows: Sequence[dict[str, Any]], skipped: int) -> PersonStats:
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    gold = [row["gold_right"] for row in rows if row["gold_right"] is not None]
    against = [row["decision"] != "confirm" for row in rows if row["decision"] in Review.DECISIVE]
    return PersonStats(
        name,
        len(rows),
        median(seconds) if seconds else None,
        sum(row["too_fast"] for row in rows),
        sum(gold),
        len(gold),
        sum(against) / len(against) if against and queue.kind == Queue.Kind.PAIR else None,
        sum(is_answer_changed(row) for row in rows),
        skipped,
        sum(row["late"] for row in rows),
    )


def is_answer_changed(row: dict[str, Any]) -> bool:
    """Whether the answer differs from the one given before the judge was shown."""
    first = row["first_answer"]
    if not first:
        return False
    if "score" in first:
        return bool(first["score"] != row["score"])
    return bool(first.get("decision") != row["decision"])


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Share of answers that agree with the judge, on items that show it first and on blind items."""

    shown: float | None
    shown_n: int
    blind: float | None
    blind_n: int


def anchoring(queue: Queue) -> Anchoring | None:
    """Compute anchoring for a pair queue with prefilled items; ``None`` for other queues."""
    if not queue.prefill_share or queue.kind != Queue.Kind.PAIR:
        return None
    shown: list[bool] = []
    blind: list[bool] = []
    for row in answers_in_queue(queue).values("decision", "prefilled", "first_answer"):
        first = (row["first_answer"] or {}).get("decision", row["decision"])
        (shown if row["prefilled"] else blind).append(first == "confirm")
    return Anchoring(_share(shown), len(shown), _share(blind), len(blind))


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def judges(queue: Queue) -> list[JudgeAgreement]:
    """Agreement of every model judge with people's mean blind scores; empty unless it is a score queue."""
    if queue.kind != Queue.Kind.SCORE:
        return []
    people_say = calibration.blind_scores([queue])
    by_judge: dict[tuple[str, str, int], dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    scored = Judgement.objects.exclude(source=Judgement.Source.HUMAN)
    ids = list(people_say)
    for start in range(0, len(ids), 500):
        part = scored.filter(response__in=ids[start : start + 500])
        wanted = ("response", "judge__label", "source", "judge", "score")
        for response, label, source, judge, value in part.values_list(*wanted):
            prompt, said = people_say[response]
            if value is not None:
                by_judge[label, source, judge][prompt].append((value, said))
    return [
        JudgeAgreement(label, source, None, calibrate(list(prompts.values())))
        for (label, source, _), prompts in sorted(by_judge.items())
    ]


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Wins, ties and losses of the newer checkpoint by majority, with the 95 % interval of its win rate."""

    win: int
    tie: int
    lose: int
    undecided: int
    rate: float | None
    low: float | None
    high: float | None


def comparison(queue: Queue) -> ComparisonResult | None:
    """Result of a comparison queue over items with a majority or an adjudication."""
    if queue.kind != Queue.Kind.COMPARISON:
        return None
    counts = {"first": 0, "tie": 0, "second": 0}
    undecided = 0
    for task in queue.tasks.filter(state="done").select_related("queue"):
        resolution = resolve_item(task)
        if resolution is None:
            undecided += 1
        else:
            counts["tie" if resolution.decision == "both_bad" else resolution.decision] += 1
    n = sum(counts.values())
    win, tie, lose = counts["first"], counts["tie"], counts["second"]
    low, high = win_rate_interval(win, tie, lose) or (None, None)
    return ComparisonResult(win, tie, lose, undecided, (win + tie / 2) / n if n else None, low, high)
