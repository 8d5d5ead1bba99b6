"""View models of the people page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator

from alignment_app.services import people

PEOPLE_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Person:
    """An account. ``must_change`` is set while it has a one-time password."""

    user: User
    role: people.Role | None
    must_change: bool


def people_page(query: str, number: str | int | None) -> Page[Person]:
    """Return a page of 50 accounts by name.

    :param query: only accounts whose name contains this text; empty for all.
    :param number: page number; an invalid one gives the nearest page.
    """
    users = User.objects.order_by("username").prefetch_related("groups").select_related("one_time_password")
    if query.strip():
        users = users.filter(username__icontains=query.strip())
    page: Page[Any] = Paginator(users, PEOPLE_A_PAGE).get_page(number)
    page.object_list = [
        Person(user, people.role_of_groups(user), hasattr(user, "one_time_password")) for user in page.object_list
    ]
    return page
