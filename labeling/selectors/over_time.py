"""Pace, overrides and agreement in a queue, by day and by person and day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Final

from django.utils import timezone

from labeling.models import Queue
from labeling.selectors.quality import answers_in_queue
from training.domain.agreement import IntervalEstimate, percent_with_interval

#: At most this many answers are read, the newest, and this many days are shown.
MAX_ANSWERS: Final = 20_000
MAX_DAYS: Final = 60


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a queue.

    ``seconds``: median per answer. ``overrides``: share of answers against the judge's pair. ``agreement``: share of
    pairs of people who gave the same answer, over the items whose newest answer is of this day.
    """

    day: date
    answers: int
    people: int
    seconds: float | None
    overrides: float | None
    agreement: IntervalEstimate


@dataclass(frozen=True, slots=True)
class PersonDay:
    """One person on one day. ``agreement``: share of other people's answers to the same items that are equal."""

    day: date
    name: str
    answers: int
    seconds: float | None
    overrides: float | None
    agreement: float | None


@dataclass(frozen=True, slots=True)
class _Answer:
    task: int
    name: str
    value: Hashable
    day: date
    seconds: float | None


def _answers(queue: Queue) -> list[_Answer]:
    """Answers in force, newest first."""
    value = "score" if queue.kind == Queue.Kind.SCORE else "decision"
    rows = answers_in_queue(queue).order_by("-created_at").values_list("task", "author", value, "created_at", "seconds")
    return [
        _Answer(task, name, answer, timezone.localtime(at).date(), seconds)
        for task, name, answer, at, seconds in rows[:MAX_ANSWERS]
    ]


@dataclass(frozen=True, slots=True)
class OverTime:
    """Statistics by day and by person and day, newest first, and each person's agreement over all days."""

    days: list[Day]
    people: list[PersonDay]
    agreement: dict[str, float | None]


def over_time(queue: Queue) -> OverTime:
    """Compute the statistics of a queue's newest days."""
    answers = _answers(queue)
    by_day: dict[date, list[_Answer]] = defaultdict(list)
    items: dict[int, list[_Answer]] = defaultdict(list)
    for answer in answers:
        by_day[answer.day].append(answer)
        items[answer.task].append(answer)
    shown = sorted(by_day, reverse=True)[:MAX_DAYS]
    # An item belongs to the day of its newest answer.
    agreed: dict[date, list[list[Hashable]]] = defaultdict(list)
    for item in items.values():
        agreed[item[0].day].append([answer.value for answer in item])
    days = [
        Day(
            day,
            len(by_day[day]),
            len({answer.name for answer in by_day[day]}),
            _pace(by_day[day]),
            _overrides(queue, by_day[day]),
            percent_with_interval(agreed[day]),
        )
        for day in shown
    ]
    people = [row for day in shown for row in _people(queue, day, by_day[day], items)]
    own = _by_name(answers)
    return OverTime(days, people, {name: _agreement(theirs, items) for name, theirs in own.items()})


def _by_name(answers: Iterable[_Answer]) -> dict[str, list[_Answer]]:
    by_name: dict[str, list[_Answer]] = defaultdict(list)
    for answer in answers:
        by_name[answer.name].append(answer)
    return by_name


def _agreement(theirs: Sequence[_Answer], items: dict[int, list[_Answer]]) -> float | None:
    """Share of other people's answers to the same items that are equal."""
    same = [
        other.value == answer.value for answer in theirs for other in items[answer.task] if other.name != answer.name
    ]
    return sum(same) / len(same) if same else None


def _people(
    queue: Queue, day: date, answers: Sequence[_Answer], items: dict[int, list[_Answer]]
) -> Iterable[PersonDay]:
    for name, theirs in sorted(_by_name(answers).items()):
        yield PersonDay(day, name, len(theirs), _pace(theirs), _overrides(queue, theirs), _agreement(theirs, items))


def _pace(answers: Sequence[_Answer]) -> float | None:
    """Median seconds per answer."""
    seconds = [answer.seconds for answer in answers if answer.seconds is not None]
    return median(seconds) if seconds else None


def _overrides(queue: Queue, answers: Sequence[_Answer]) -> float | None:
    if queue.kind != Queue.Kind.PAIR:
        return None
    return sum(answer.value != "confirm" for answer in answers) / len(answers)
