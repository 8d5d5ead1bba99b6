"""What a remote teacher does while the student writes: it works on its own stage, the next one, in a thread beside.

The rules hold in that stage alone. What is done here is ahead of it, under the lease of the attempt that writes: rows
that are saved are there, and the stage asks for the others. So whatever ends this thread is met again, and handled,
there.
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


class TeacherMeanwhile:
    """While its block runs, the iteration's stage that waits for a remote teacher is worked on, where there is one.

    When the block ends well, nothing more is asked and what is in flight comes in; when it fails, that is waited for a
    few seconds. A pause or a cancel ends both alike.
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
        except EngineError as error:  # no key or no SDK on this machine: the stage's own worker may have both
            log.info("the teacher is not asked meanwhile: %s", logs.hide(str(error)))
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
                self.job.settle()
                stages.rest(self.job.attempt, stage)
        except (LeaseLost, Interrupted):
            pass  # whoever writes hears of it too
        except (Halt, EngineError) as error:
            if not self._enough.is_set():
                text = f"{stage.get_kind_display()} beside the responses ended early. {logs.hide(str(error))}"
                events.log(self.job.run.pk, text, "warning")
        except Error as error:
            log.warning("the teacher is not asked meanwhile: %s", error)
        except Exception:
            log.exception("work ahead of stage %s failed", stage)
