"""Where science and record meet: queue entry points that load what is missing, run the stage and save what it yields.

Services enqueue :func:`work` by its dotted name, ``training.jobs.work``; nobody imports this package.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable

import django
from django.apps import apps
from django.db import OperationalError

if not apps.ready:  # a spawned worker does not set Django up by itself
    django.setup()

from alignment_app import logs
from alignment_app.models import StageAttempt
from alignment_app.services import reaping, spending, stages
from alignment_app.services.errors import LeaseLost
from alignment_app.services.heartbeat import AttemptHeartbeat, Interrupted
from training.engines.base import BudgetReached, EngineError, Unanswered
from training.engines.pool import EnginePool
from training.jobs.stage_work import CannotGoOn, Halt, StageWork
from training.plan import StageSpec, import_function
from training.plan.spec import StageData
from training.trainers.results import Stopped, TrainingError

log = logging.getLogger(__name__)


Reason = StageAttempt.Reason
#: The code of each failure that says in words what to do.
_FAILURES = {CannotGoOn: Reason.NOTHING_TO_DO, EngineError: Reason.ENGINE, TrainingError: Reason.TRAINING}


def work(run_id: int, queue: str) -> None:
    """Do what there is to do for this run on this queue: one stage after another while they are of the same queue."""
    with EnginePool() as engines:
        while attempt := stages.claim(
            run_id, queue, worker=os.environ.get("RQ_WORKER_NAME", "worker"), host=reaping.this_host(), pid=os.getpid()
        ):
            _perform(attempt, engines)


def job_of(spec: StageSpec) -> Callable[[StageWork], StageData]:
    """The function that does a stage's work. Raises :class:`ValueError` for a stage that waits for people."""
    if spec.job is None:
        raise ValueError(f"{spec.title} is done by people; no worker can do it")
    job: Callable[[StageWork], StageData] = import_function(spec.job)
    return job


def _perform(attempt: StageAttempt, engines: EnginePool) -> None:
    """One attempt from claim to its end, whatever that is."""
    try:
        with AttemptHeartbeat(attempt) as heartbeat:
            job = StageWork(attempt, heartbeat, engines)
            try:
                try:
                    result = job_of(attempt.stage.spec)(job)
                finally:
                    job.settle()
                spending.forget_texts(attempt)
                stages.finish(attempt, result)
            except (Interrupted, Stopped):
                heartbeat.should_stop()
                stages.stop(attempt, heartbeat.command)
            except Halt as halt:
                stages.pause_with_reason(attempt, str(halt), halt.code)
            except LeaseLost:
                raise
            except (BudgetReached, Unanswered) as error:  # nothing is wrong with the run: it goes on when somebody says
                code = Reason.BUDGET if isinstance(error, BudgetReached) else Reason.UNANSWERED
                stages.pause_with_reason(attempt, logs.hide(str(error)), code)
            except (CannotGoOn, EngineError, TrainingError) as error:
                code = next(code for kind, code in _FAILURES.items() if isinstance(error, kind))
                stages.fail(attempt, logs.hide(str(error)), code)
            except OperationalError as error:
                # The database was away or busy for too long: nothing is wrong with the stage, and it goes on.
                stages.crash(attempt, f"The database did not answer ({str(error).strip()}).", Reason.DATABASE)
            except Exception as error:
                log.exception("stage %s failed", attempt.stage)
                reason = (
                    f"{type(error).__name__}: {error}. The traceback is kept with the attempt; resume to try again."
                )
                stages.fail(attempt, logs.hide(reason), Reason.ERROR, logs.hide(traceback.format_exc()))
    except LeaseLost as lost:
        log.warning("%s", lost)
