"""Keeps an attempt alive while its process works, hears what people ask, and saves rows as they come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.conf import settings
from django.db import Error, connection, transaction

from alignment_app.models import RunEvent, Stage, StageAttempt
from alignment_app.services import events, stages
from alignment_app.services.errors import LeaseLost

log = logging.getLogger(__name__)

Draft = TypeVar("Draft")

SAVE_SECONDS = 0.4
SAMPLE_SECONDS = 0.6
POINTS_AN_EVENT = 500  #: a resumed training reports all steps before it at once


class Interrupted(Exception):
    """People asked this run to stop; raised at a safe point."""

    def __init__(self, command: stages.Command) -> None:
        super().__init__(command)
        self.command = command


class Keeper:
    """Beats in a thread while the work goes on in the caller's.

    ``check()`` is the safe point: it raises :class:`Interrupted` or :class:`LeaseLost`.
    """

    def __init__(self, attempt: StageAttempt) -> None:
        self.attempt = attempt
        self.command: stages.Command = "go on"
        self.lost = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"keeper-{attempt.pk}", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=settings.LEASE_SECONDS)

    def _beat(self) -> None:
        interval = min(settings.HEARTBEAT_SECONDS, 2)
        while not self._done.wait(interval):
            try:
                self.command = stages.heartbeat(self.attempt)
            except LeaseLost:
                self.lost = True
                break
            except Error as error:
                # A busy or restarting database: the lease says how long there is to try again, by a new connection.
                log.warning("heartbeat of attempt %s will be tried again: %s", self.attempt.pk, error)
                connection.close()
        connection.close()

    def should_stop(self) -> bool:
        """Whether the work is to end at its next safe point."""
        return self.lost or self.command != "go on"

    def check(self) -> None:
        """Raise where the work is to end here."""
        if self.lost:
            raise LeaseLost(f"attempt {self.attempt.pk} lost its lease")
        if self.command != "go on":
            raise Interrupted(self.command)


class Progress:
    """Counts what a stage has made, and tells the page a few times a second.

    The stage is the attempt's own, or one ``ahead`` of which the attempt does something meanwhile.
    """

    def __init__(self, keeper: Keeper, *, unit: str, done: int, total: int, ahead: Stage | None = None) -> None:
        self.keeper, self.attempt, self.ahead = keeper, keeper.attempt, ahead
        self.unit, self.done, self.total = unit, done, total
        self.detail: dict[str, Any] = {}
        #: Figures of this moment, which are told with the counts: tokens a second, requests in flight.
        self.live: Callable[[], dict[str, Any]] = dict
        self._save_rest: Callable[[], None] = lambda: None
        self._silent = 0.0
        self._began, self._began_at = time.monotonic(), done
        self._sampled = 0.0
        self.tell()

    @property
    def rate(self) -> float | None:
        """Units a second since this attempt began."""
        seconds = time.monotonic() - self._began
        return (self.done - self._began_at) / seconds if seconds > 0.2 and self.done > self._began_at else None

    def tell(self) -> None:
        """Write the counts and publish them."""
        stages.progress(
            self.attempt,
            done=self.done,
            total=self.total,
            unit=self.unit,
            rate=self.rate,
            ahead=self.ahead,
            **self.detail,
            **self.live(),
        )

    def save_as_they_come(
        self,
        drafts: Iterable[Draft],
        save: Callable[[list[Draft]], object],
        *,
        prompt_of: Callable[[Draft], int] | None = None,
        units_of: Callable[[Draft], int] = lambda _: 1,
    ) -> None:
        """Save drafts in batches, each with its count and its event in one transaction; stop at safe points.

        What was yielded before an interruption or a failure is saved before it is obeyed, so nothing made is lost.
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
                self.keeper.check()  # an engine that was told to stop says that it could not end its work
                raise
            buffer.append(draft)
            if time.monotonic() - flushed >= SAVE_SECONDS or self.keeper.should_stop():
                flush()
                flushed = time.monotonic()
                self.keeper.check()
        flush()
        self.keeper.check()

    def before_silence(self) -> None:
        """Save what was yielded and waits for more to come: the source says that it will be silent for a while.

        Called from within the source. Silences that follow each other fast are none.
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
            self.tell()
            if prompt_of and time.monotonic() - self._sampled > SAMPLE_SECONDS:
                self._sampled = time.monotonic()
                self._sample(prompt_of(buffer[-1]))
        buffer.clear()
        self.after_save()

    def saved(self, drafts: list[Any]) -> None:
        """A hook for stages that count something in what was just saved, before the page is told."""

    def after_save(self) -> None:
        """A hook for stages that look at what has been saved so far."""

    def _sample(self, prompt_id: int) -> None:
        stage = self.ahead or self.attempt.stage
        payload = {"iteration": stage.iteration.number, "prompt": prompt_id, "stage": stage.kind}
        events.append(stage.iteration.run_id, RunEvent.Kind.SAMPLE, payload)


class MetricsLog:
    """Collects a trainer's reports, one a step, and writes them as events, at most two a second.

    ``series`` tells several trainings of one stage apart.
    """

    def __init__(self, keeper: Keeper, series: str = "") -> None:
        self.keeper, self.series = keeper, series
        self._points: list[dict[str, Any]] = []
        self._flushed = 0.0
        self._began: tuple[float, int] | None = None

    def report(self, point: dict[str, Any]) -> None:
        """One step's figures; ``step`` and ``total_steps`` also move the bar."""
        self._points.append(point)
        if time.monotonic() - self._flushed > 0.5:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        if not self._points:
            return
        attempt = self.keeper.attempt
        stage = attempt.stage
        points, self._points = self._points, []
        step, total = int(points[-1].get("step", 0)), int(points[-1].get("total_steps", 0))
        rate = self._rate(points)
        about: dict[str, Any] = {"iteration": stage.iteration.number, "stage": stage.kind}
        which = {"series": self.series} if self.series else {}
        with stages.held(attempt):
            for start in range(0, len(points), POINTS_AN_EVENT):
                some = points[start : start + POINTS_AN_EVENT]
                events.append(stage.iteration.run_id, RunEvent.Kind.METRICS, {**about, **which, "points": some})
            found = _headline(points[-1]) | which
            stages.progress(attempt, done=step, total=max(total, step), unit="steps", rate=rate, **found)
            StageAttempt.objects.filter(pk=attempt.pk).update(rows_written=step)
        self._flushed = time.monotonic()

    def _rate(self, points: list[dict[str, Any]]) -> float | None:
        """Steps a second by the trainer's own clock: what it reports again after a resume took no time now."""
        now = (float(points[-1].get("seconds", 0)), int(points[-1].get("step", 0)))
        self._began = self._began or (float(points[0].get("seconds", 0)), int(points[0].get("step", 0)))
        seconds, steps = now[0] - self._began[0], now[1] - self._began[1]
        return steps / seconds if seconds > 0.2 and steps > 0 else None


def _headline(point: dict[str, Any]) -> dict[str, Any]:
    return {name: point[name] for name in ("loss", "accuracy", "margin") if point.get(name) is not None}
