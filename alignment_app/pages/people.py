"""Who has an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator

from alignment_app.services import people

PEOPLE_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Person:
    """A row of the people page. ``must_change``: the password is still a one-time one."""

    user: User
    role: people.Role | None
    must_change: bool


def people_page(query: str, number: str | int | None) -> Page[Person]:
    """Accounts by name, those whose name holds ``query``, 50 a page; an impossible page number gives a near one."""
    users = User.objects.order_by("username").prefetch_related("groups").select_related("one_time_password")
    if query.strip():
        users = users.filter(username__icontains=query.strip())
    page: Page[Any] = Paginator(users, PEOPLE_A_PAGE).get_page(number)
    page.object_list = [
        Person(user, people.role_of_groups(user), hasattr(user, "one_time_password")) for user in page.object_list
    ]
    return page
