"""Paging through a filtered list of items while items leave it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment_app.models import Iteration
from labeling.models import Queue, Task
from labeling.pages import items
from labeling.services import queues

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue(make_waiting_run: Callable[..., Iteration], lead: User, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Ten answered items without a majority, two of them without agreement; four per page."""
    monkeypatch.setattr(items, "PAGE", 4)
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(10)), name="listed")
    made = queues.make_queue(queues.NewQueue("listed", "pair", order="arrival"), by=lead, iteration=iteration)
    for task in made.tasks.all():
        agreement = None if task.rank in (3, 8) else (task.rank % 3) / 3
        Task.objects.filter(pk=task.pk).update(state="done", agreement=agreement, flagged=task.rank != 5)
    return made


#: By rank: lowest agreement first, items without a figure at the end.
UNDECIDED = [0, 6, 9, 1, 4, 7, 2, 5, 3, 8]


def ranks(page: items.ItemPage) -> list[int]:
    return [task.rank for task in page.rows]


@pytest.mark.parametrize(("show", "order"), [("undecided", UNDECIDED), ("flagged", [0, 1, 2, 3, 4, 6, 7, 8, 9])])
def test_pages_list_every_item_once_forwards_and_backwards(queue: Queue, show: str, order: list[int]) -> None:
    page = items.items_page(queue, show, None)
    assert (page.number, page.has_previous) == (1, False)
    seen = [ranks(page)]
    while page.has_next:
        page = items.items_page(queue, show, str(page.number + 1), after=page.after)
        seen.append(ranks(page))
    assert [rank for part in seen for rank in part] == order
    assert (page.number, page.pages) == (3, 3)
    back = []
    while page.has_previous:
        page = items.items_page(queue, show, str(page.number - 1), before=page.before)
        back.append(ranks(page))
    assert back == seen[-2::-1]
    assert page.number == 1


@pytest.mark.parametrize("show", ["undecided", "flagged"])
def test_paging_skips_no_item_when_earlier_items_leave_the_list(queue: Queue, show: str) -> None:
    first = items.items_page(queue, show, None)
    expected = ranks(items.items_page(queue, show, "2"))
    Task.objects.filter(pk__in=[task.pk for task in first.rows]).update(settled_by="lena", flagged=False)
    assert ranks(items.items_page(queue, show, "2", after=first.after)) == expected


def test_urls_with_only_a_page_number_or_an_invalid_position_work(queue: Queue, lead: User) -> None:
    client = Client()
    client.force_login(lead)
    address = reverse("review-items", args=[queue.pk])
    assert ranks(items.items_page(queue, "undecided", "3")) == UNDECIDED[8:]
    page = client.get(address + "?show=undecided&page=2").content.decode()
    assert "Page 2 of 3" in page
    assert "after=_3" not in page
    assert "after=0.6666666666666666_5&amp;page=3" in page or "page=3&amp;after=0.6666666666666666_5" in page
    for wrong in ("x", "_", "nan_", "1e999_3", "0.5_99999999999999999999999", "inf_1", "nan_2"):
        assert client.get(address, {"show": "undecided", "after": wrong, "page": "2"}).status_code == 200
