"""Overlap of a remote teacher's stage with the student's generation.

A thread works on the teacher's next stage under the lease of the generating attempt. The rows it saves are final; the
stage itself later makes only the missing ones. Errors in the thread therefore need no handling here: they occur again
in the stage and are handled there.
"""

from __future__ import annotations

import logging
import threading

from django.db import Error, connections

from alignment_app import logs
from alignment_app.models import Stage
from alignment_app.services import events, stages
from alignment_app.services.errors import LeaseLost
from alignment_app.services.heartbeat import Interrupted
from training.engines.base import EngineError
from training.jobs.paying import PaidEngine
from training.jobs.stage_work import Halt, StageWork
from training.plan import import_function

log = logging.getLogger(__name__)


class TeacherOverlap:
    """Context manager: work on the iteration's pending remote-teacher stage, if there is one, while the block runs.

    When the block ends normally, no new requests are sent and all requests in flight are awaited. When it fails, they
    are awaited for a few seconds only. A pause or cancel request ends both the block and the thread.
    """

    def __init__(self, job: StageWork) -> None:
        self.job = job
        self._enough = threading.Event()
        self._teacher: PaidEngine | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        pending = self.job.iteration.stages.filter(queue=Stage.Queue.TEACHER, status=Stage.Status.PENDING)
        stage = next((stage for stage in pending.select_related("iteration") if stage.spec.overlap), None)
        if stage is None:
            return
        try:
            teacher = self.job.teacher()
        except EngineError as error:  # the worker of the teacher queue may have the missing key or SDK
            log.info("no overlap with the teacher's stage: %s", logs.hide(str(error)))
            return
        assert isinstance(teacher, PaidEngine)
        self._teacher = teacher
        teacher.engine.has_enough = self._enough.is_set
        self._thread = threading.Thread(target=self._work, args=(stage,), name=f"teacher-{stage.pk}", daemon=True)
        self._thread.start()

    def __exit__(self, failure: object, *_: object) -> None:
        if self._thread is None or self._teacher is None:
            return
        self._enough.set()
        if failure is not None:
            self._teacher.engine.should_stop = lambda: True
        self._thread.join()
        self._teacher.engine.has_enough = lambda: False

    def _work(self, stage: Stage) -> None:
        try:
            self._do(stage)
        finally:
            connections.close_all()

    def _do(self, stage: Stage) -> None:
        try:
            try:
                assert stage.spec.overlap is not None
                import_function(stage.spec.overlap)(self.job, stage)
            finally:
                self.job.finalize()
                stages.end_overlap(self.job.attempt, stage)
        except (LeaseLost, Interrupted):
            pass  # the generating attempt raises the same
        except (Halt, EngineError) as error:
            if not self._enough.is_set():
                text = f"{stage.get_kind_display()} in overlap with the responses ended early. {logs.hide(str(error))}"
                events.log(self.job.run.pk, text, "warning")
        except Error as error:
            log.warning("no overlap with the teacher's stage: %s", error)
        except Exception:
            log.exception("the overlapping work on stage %s failed", stage)
