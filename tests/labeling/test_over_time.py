"""Pace, overrides and agreement by day, and by person and day."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from labeling.models import Queue, Review
from labeling.pages.over_time import trend
from labeling.selectors.over_time import over_time
from labeling.services import reviews
from labeling.services.answers import Answer
from tests.support.review import take

Make = Callable[..., Queue]


def answered(queue: Queue, people: list[User]) -> None:
    """Yesterday ana and ben agree on two items; today they differ on the third. All of ben's answers are flips."""
    for place in range(3):
        for person in people[:2]:
            decision = "confirm" if place == 2 and person.username == "ana" else "flip"
            review = reviews.submit(take(queue, person), Answer(decision)).review
            at = timezone.now() - timedelta(days=1 if place < 2 else 0)
            Review.objects.filter(pk=review.pk).update(created_at=at, seconds=10 * (place + 1))


def test_each_day_has_answers_median_time_and_agreement(make: Make, annotators: list[User]) -> None:
    queue = make(overlap=2)
    answered(queue, annotators)
    found = over_time(queue)
    today, yesterday = found.days
    assert (yesterday.answers, yesterday.people, yesterday.seconds, yesterday.overrides) == (4, 2, 15.0, 1.0)
    assert (yesterday.agreement.value, yesterday.agreement.items) == (1.0, 2)
    assert (today.answers, today.overrides, today.agreement.value) == (2, 0.5, 0.0)
    assert [point["y"] for point in trend(found.days)] == [8.0, 72.0]


def test_each_person_has_statistics_by_day_and_overall(make: Make, annotators: list[User]) -> None:
    queue = make(overlap=2)
    answered(queue, annotators)
    found = over_time(queue)
    rows = {(row.day == found.days[0].day, row.name): row for row in found.people}
    assert (rows[True, "ana"].overrides, rows[True, "ana"].agreement, rows[True, "ana"].seconds) == (0.0, 0.0, 30.0)
    assert (rows[False, "ben"].answers, rows[False, "ben"].agreement) == (2, 1.0)
    assert found.agreement == {"ana": 2 / 3, "ben": 2 / 3}


def test_answers_of_one_person_have_no_agreement(make: Make, annotators: list[User]) -> None:
    queue = make()
    reviews.submit(take(queue, annotators[0]), Answer("tie"))
    found = over_time(queue)
    assert found.days[0].agreement.value is None
    assert found.agreement == {"ana": None}
    assert trend(found.days) == []
    assert over_time(make(name="untouched")).days == []


def test_the_queue_page_shows_the_days_as_chart_and_table(make: Make, annotators: list[User], lead: User) -> None:
    queue = make(overlap=2)
    answered(queue, annotators)
    client = Client()
    client.force_login(lead)
    page = client.get(reverse("review-queue", args=[queue.pk])).content.decode()
    assert 'class="trend"' in page
    assert "By person and day" in page
    assert len(re.findall(r">\s*67\u00a0%\s*</td>", page)) == 3, (
        "both people's share, and how often ana overrode the judge"
    )
