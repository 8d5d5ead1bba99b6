"""Progress of a stage: saves rows in batches and publishes counts and training metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db import transaction

from alignment_app.models import Stage, StageAttempt
from alignment_app.models.payloads import MetricsPayload, SamplePayload
from alignment_app.services import events, stages
from alignment_app.services.heartbeat import AttemptHeartbeat

Draft = TypeVar("Draft")

SAVE_SECONDS = 0.4
SAMPLE_SECONDS = 0.6
POINTS_PER_EVENT = 500  #: a resumed training run reports all earlier steps at once


class Progress:
    """Count the rows of a stage and publish the counts several times per second.

    The counts are those of the attempt's own stage, or of ``overlapping_stage``, a later stage it works on in parallel.
    """

    def __init__(
        self, heartbeat: AttemptHeartbeat, *, done: int, total: int, overlapping_stage: Stage | None = None
    ) -> None:
        self.heartbeat, self.attempt = heartbeat, heartbeat.attempt
        self.overlapping_stage = overlapping_stage
        self.done, self.total = done, total
        #: Fields of the stage's progress model that are counted here.
        self.figures: dict[str, Any] = {}
        #: Current metrics published with the counts: tokens per second, requests in flight.
        self.live: Callable[[], dict[str, Any]] = dict
        self._save_rest: Callable[[], None] = lambda: None
        self._silent = 0.0
        self._began, self._began_at = time.monotonic(), done
        self._sampled = 0.0
        self.publish()

    @property
    def rate(self) -> float | None:
        """Units per second since the attempt started."""
        seconds = time.monotonic() - self._began
        return (self.done - self._began_at) / seconds if seconds > 0.2 and self.done > self._began_at else None

    def publish(self) -> None:
        """Save the counts and publish them."""
        stages.progress(
            self.attempt,
            done=self.done,
            total=self.total,
            rate=self.rate,
            overlapping_stage=self.overlapping_stage,
            **self.figures,
            **self.live(),
        )

    def save_in_batches(
        self,
        drafts: Iterable[Draft],
        save: Callable[[list[Draft]], object],
        *,
        prompt_of: Callable[[Draft], int] | None = None,
        units_of: Callable[[Draft], int] = lambda _: 1,
    ) -> None:
        """Save drafts in batches, each with its count and event in one transaction; stop at safe points.

        Drafts yielded before an interruption or an error are saved first, so none are lost.
        """
        buffer: list[Draft] = []
        flushed = time.monotonic()
        source = iter(drafts)
        self._save_rest = flush = lambda: self._flush(buffer, save, prompt_of, units_of)
        while True:
            try:
                draft = next(source)
            except StopIteration:
                break
            except Exception:
                flush()
                self.heartbeat.check()  # an engine that was interrupted raises its own error
                raise
            buffer.append(draft)
            if time.monotonic() - flushed >= SAVE_SECONDS or self.heartbeat.should_stop():
                flush()
                flushed = time.monotonic()
                self.heartbeat.check()
        flush()
        self.heartbeat.check()

    def on_idle(self) -> None:
        """Save the drafts of an incomplete batch, because the source will yield nothing for a while.

        Called by the source. Has no effect within ``SAVE_SECONDS`` of the last call.
        """
        if time.monotonic() - self._silent >= SAVE_SECONDS:
            self._silent = time.monotonic()
            self._save_rest()

    def _flush(
        self,
        buffer: list[Draft],
        save: Callable[[list[Draft]], object],
        prompt_of: Callable[[Draft], int] | None,
        units_of: Callable[[Draft], int],
    ) -> None:
        if not buffer:
            return
        done = self.done + sum(units_of(draft) for draft in buffer)
        with transaction.atomic():
            save(buffer)
            self.done = done
            self.saved(buffer)
            self.publish()
            if prompt_of and time.monotonic() - self._sampled > SAMPLE_SECONDS:
                self._sampled = time.monotonic()
                self._sample(prompt_of(buffer[-1]))
        buffer.clear()
        self.after_save()

    def saved(self, drafts: list[Any]) -> None:
        """Hook: count saved drafts before the counts are published."""

    def after_save(self) -> None:
        """Hook: check the rows saved so far."""

    def _sample(self, prompt_id: int) -> None:
        stage = self.overlapping_stage or self.attempt.stage
        payload = SamplePayload(iteration=stage.iteration.number, prompt=prompt_id, stage=stage.kind)
        events.append(stage.iteration.run_id, payload)


class TrainingMetricsLog:
    """Collect a trainer's reports, one per step, and write them as events, at most two per second.

    ``series`` names the training run if a stage has several.
    """

    def __init__(self, heartbeat: AttemptHeartbeat, series: str = "") -> None:
        self.heartbeat, self.series = heartbeat, series
        self._points: list[dict[str, Any]] = []
        self._flushed = 0.0
        self._began: tuple[float, int] | None = None

    def report(self, point: dict[str, Any]) -> None:
        """Add the metrics of one step; ``step`` and ``total_steps`` also update the progress."""
        self._points.append(point)
        if time.monotonic() - self._flushed > 0.5:
            self.flush()

    def flush(self) -> None:
        """Write the collected reports."""
        if not self._points:
            return
        attempt = self.heartbeat.attempt
        stage = attempt.stage
        points, self._points = self._points, []
        step, total = int(points[-1].get("step", 0)), int(points[-1].get("total_steps", 0))
        rate = self._rate(points)
        about: dict[str, Any] = {"iteration": stage.iteration.number, "stage": stage.kind}
        which = {"series": self.series} if self.series else {}
        with stages.leased(attempt):
            for start in range(0, len(points), POINTS_PER_EVENT):
                some = points[start : start + POINTS_PER_EVENT]
                events.append(stage.iteration.run_id, MetricsPayload(**about, **which, points=some))
            found = _headline(points[-1]) | which
            stages.progress(attempt, done=step, total=max(total, step), rate=rate, **found)
            StageAttempt.objects.filter(pk=attempt.pk).update(rows_written=step)
        self._flushed = time.monotonic()

    def _rate(self, points: list[dict[str, Any]]) -> float | None:
        """Steps per second by the trainer's clock, without steps reported again after a resume."""
        now = (float(points[-1].get("seconds", 0)), int(points[-1].get("step", 0)))
        self._began = self._began or (float(points[0].get("seconds", 0)), int(points[0].get("step", 0)))
        seconds, steps = now[0] - self._began[0], now[1] - self._began[1]
        return steps / seconds if seconds > 0.2 and steps > 0 else None


def _headline(point: dict[str, Any]) -> dict[str, Any]:
    return {name: point[name] for name in ("loss", "accuracy", "margin") if point.get(name) is not None}
