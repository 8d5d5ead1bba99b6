"""The heartbeat of an attempt: renews its lease while its process works, and hears what people ask of the run."""

from __future__ import annotations

import logging
import threading

from django.conf import settings
from django.db import Error, connection

from alignment_app.models import StageAttempt
from alignment_app.services import stages
from alignment_app.services.errors import LeaseLost

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """People asked this run to stop; raised at a safe point."""

    def __init__(self, command: stages.Command) -> None:
        super().__init__(command)
        self.command = command


class AttemptHeartbeat:
    """Renews the lease of ``attempt`` in a thread while the caller works.

    ``check()`` is the safe point: it raises :class:`Interrupted` or :class:`LeaseLost`.
    """

    def __init__(self, attempt: StageAttempt) -> None:
        self.attempt = attempt
        self.command: stages.Command = "go on"
        self.lost = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{attempt.pk}", daemon=True)

    def __enter__(self) -> AttemptHeartbeat:
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
