"""Fixtures: people, a run that waits for review, and queues on it. Models are imported later, after Django's setup."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from alignment_app.models import Iteration
    from labeling.models import Queue


@pytest.fixture
def lead(db: None) -> User:
    from tests.support.people import person

    return person("lead", "lena")


@pytest.fixture
def annotators(db: None) -> list[User]:
    from tests.support.people import person

    return [person("annotator", name) for name in ("ana", "ben", "cleo")]


@pytest.fixture
def viewer(db: None) -> User:
    from tests.support.people import person

    return person("viewer", "vic")


@pytest.fixture
def make_waiting_run(db: None) -> Callable[..., Iteration]:
    from tests.support.review import waiting_run

    return waiting_run


@pytest.fixture
def iteration(make_waiting_run: Callable[..., Iteration]) -> Iteration:
    return make_waiting_run()


@pytest.fixture
def make(lead: User, iteration: Iteration) -> Callable[..., Queue]:
    """Create a queue on the waiting run's iteration; keyword arguments are fields of ``NewQueue``."""

    def build(kind: str = "pair", **fields: Any) -> Queue:
        from labeling.services.queues import NewQueue, make_queue

        fields = {"name": f"{kind} queue", "order": "arrival", "min_seconds": 0.0} | fields
        return make_queue(NewQueue(kind=kind, **fields), by=lead, iteration=iteration)

    return build
