"""Attempt heartbeat: renews the lease of a running attempt and reads pause and cancel requests."""

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
    """A pause or cancel was requested. Raised at a safe point."""

    def __init__(self, command: stages.Command) -> None:
        super().__init__(command)
        self.command = command


class AttemptHeartbeat:
    """Renew the lease of ``attempt`` in a background thread.

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
                # The database may be busy or restarting: retry with a new connection until the lease expires.
                log.warning("heartbeat of attempt %s failed, retrying: %s", self.attempt.pk, error)
                connection.close()
        connection.close()

    def should_stop(self) -> bool:
        """Whether the work must stop at the next safe point."""
        return self.lost or self.command != "go on"

    def check(self) -> None:
        """Raise :class:`Interrupted` or :class:`LeaseLost` if the work must stop here."""
        if self.lost:
            raise LeaseLost(f"attempt {self.attempt.pk} lost its lease")
        if self.command != "go on":
            raise Interrupted(self.command)
