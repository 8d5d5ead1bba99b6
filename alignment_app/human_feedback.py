"""What people said about responses, for jobs that measure or train with it: an interface that ``labeling`` implements.

``alignment_app`` and ``training.jobs`` never import ``labeling``. It registers its implementation when the app starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from django.db.models import QuerySet

from alignment_app.models import Response, Run
from training.config import RunConfig
from training.domain.drift import Drift
from training.domain.judges import Judge


class HumanFeedback(Protocol):
    """Reads of what people said."""

    def blind_responses(self, run: Run) -> QuerySet[Response]:
        """The responses that people scored before any judge was shown, in queues that no training reads."""
        ...

    def drift(self, run: Run) -> Drift | None:
        """How the agreement of the run's newest judge with people changed; ``None`` where it is not measured."""
        ...

    def training_rows(self, config: RunConfig, judge: Judge) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
        """People's scores as rows that fine-tune a judge, in the trainer's format, each with its ``judgement_id``."""
        ...


class NoFeedback:
    """For a project without ``labeling``: nobody has said anything."""

    def blind_responses(self, run: Run) -> QuerySet[Response]:
        return Response.objects.none()

    def drift(self, run: Run) -> Drift | None:
        return None

    def training_rows(self, config: RunConfig, judge: Judge) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
        return iter(())


_provider: HumanFeedback = NoFeedback()


def register(provider: HumanFeedback) -> None:
    """Answer :func:`provider` with this one from now on. Called once, when an app starts."""
    global _provider
    _provider = provider


def provider() -> HumanFeedback:
    """What answers for people in this process."""
    return _provider
