"""Human feedback for jobs that measure or train with it: an interface implemented by ``labeling``.

``alignment_app`` and ``training.jobs`` never import ``labeling``, which registers its implementation at startup.
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
    """Read access to human feedback."""

    def blind_responses(self, run: Run) -> QuerySet[Response]:
        """Return the responses scored by people before seeing a judge's score, in queues not used for training."""
        ...

    def drift(self, run: Run) -> Drift | None:
        """Return the change in judge–human agreement of the run's newest judge; ``None`` if not measured."""
        ...

    def training_rows(self, config: RunConfig, judge: Judge) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
        """Yield human scores as judge training rows, in the trainer's format, each with its ``judgement_id``."""
        ...


class NoFeedback:
    """Implementation without ``labeling``: no feedback."""

    def blind_responses(self, run: Run) -> QuerySet[Response]:
        return Response.objects.none()

    def drift(self, run: Run) -> Drift | None:
        return None

    def training_rows(self, config: RunConfig, judge: Judge) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
        return iter(())


_provider: HumanFeedback = NoFeedback()


def register(provider: HumanFeedback) -> None:
    """Set the implementation returned by :func:`provider`. Called once at startup."""
    global _provider
    _provider = provider


def provider() -> HumanFeedback:
    """Return the registered implementation."""
    return _provider
