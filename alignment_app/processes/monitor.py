"""The monitor: ends dead attempts, enqueues due stages, kills overdue processes, reads machine metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.db import close_old_connections
from redis.exceptions import RedisError

from alignment_app.models import Run, Stage, StageAttempt
from alignment_app.models.payloads import MachinePayload
from alignment_app.processes import machine_metrics
from alignment_app.processes.worker import forget_dead_workers
from alignment_app.services import events, queues, reaping, stages
from alignment_app.signals import review_counts_due

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 3.0
METRICS_SECONDS: Final = 5.0


class Monitor:
    """Runs on each machine with workers. Several on one machine are safe: every step is a conditional update."""

    def __init__(self) -> None:
        self.host = reaping.this_host()
        self._measured_at = -METRICS_SECONDS

    def tick(self) -> None:
        """Perform every duty once. A failing duty is logged and the others still run."""
        # Dead attempts first: their process ids may already belong to other processes, which must not be killed.
        self._do("could not check for dead processes", reaping.reap_dead, self.host)
        self._do("could not kill overdue processes", reaping.kill_overdue, self.host)
        self._do("could not check for expired leases", stages.reap_expired)
        self._do("could not update the review counts", review_counts_due.send, Stage)
        if queues.is_up():
            self._do("could not enqueue due stages", stages.enqueue_due)
            self._do("could not clean up the list of workers", self._forget_dead_workers)
        if time.monotonic() - self._measured_at >= METRICS_SECONDS:
            self._measured_at = time.monotonic()
            self._do("could not read the machine metrics", self._write_machine_metrics)

    def _forget_dead_workers(self) -> None:
        try:
            forget_dead_workers()
        except RedisError as error:
            log.warning("could not clean up the list of workers: %s", error)

    def _write_machine_metrics(self) -> None:
        """Append an event with the machine metrics to each run that is active on this machine."""
        here = StageAttempt.objects.filter(outcome=StageAttempt.Outcome.OPEN, host=self.host)
        runs = Run.objects.filter(status=Run.Status.RUNNING, iterations__stages__attempts__in=here).distinct()
        at_work = list(runs.values_list("pk", flat=True))
        if not at_work:
            return
        reading = MachinePayload(**machine_metrics.read(settings.HOME))
        for run_id in at_work:
            events.append(run_id, reading)

    @staticmethod
    def _do(problem: str, duty: Callable[..., Any], *args: Any) -> None:
        close_old_connections()
        try:
            duty(*args)
        except Exception:
            log.exception(problem)


def run_for_ever() -> None:
    """Call :meth:`Monitor.tick` until the process ends."""
    monitor = Monitor()
    while True:
        monitor.tick()
        time.sleep(TICK_SECONDS)
