"""Queue entry points: load the missing rows from the database, run the stage, and save its results.

Services enqueue :func:`work` by its dotted name, ``training.jobs.work``; no other package imports this one.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable

import django
from django.apps import apps
from django.db import OperationalError

if not apps.ready:  # a spawned worker does not set up Django
    django.setup()

from alignment_app import logs
from alignment_app.models import StageAttempt
from alignment_app.services import reaping, spending, stages
from alignment_app.services.errors import LeaseLost
from alignment_app.services.heartbeat import AttemptHeartbeat, Interrupted
from training.engines.base import BudgetReached, EngineError, Unanswered
from training.engines.pool import EnginePool
from training.jobs import left_out
from training.jobs.stage_work import CannotContinue, Halt, StageWork
from training.plan import StageSpec, import_function
from training.plan.spec import StageData
from training.trainers.results import Stopped, TrainingError

log = logging.getLogger(__name__)


Reason = StageAttempt.Reason
#: Reason code per error whose message already names the remedy.
_FAILURES = {CannotContinue: Reason.NOTHING_TO_DO, EngineError: Reason.ENGINE, TrainingError: Reason.TRAINING}


def work(run_id: int, queue: str) -> None:
    """Perform the run's next stages, one after another, as long as they belong to this queue."""
    with EnginePool() as engines:
        while attempt := stages.claim(
            run_id, queue, worker=os.environ.get("RQ_WORKER_NAME", "worker"), host=reaping.this_host(), pid=os.getpid()
        ):
            _perform(attempt, engines)


def job_of(spec: StageSpec) -> Callable[[StageWork], StageData]:
    """Return the function that performs a stage.

    Raises :class:`ValueError` for a stage that is done by people.
    """
    if spec.job is None:
        raise ValueError(f"{spec.title} is done by people; no worker can do it")
    job: Callable[[StageWork], StageData] = import_function(spec.job)
    return job


def _perform(attempt: StageAttempt, engines: EnginePool) -> None:
    """Perform one claimed attempt and record how it ended."""
    try:
        with AttemptHeartbeat(attempt) as heartbeat:
            job = StageWork(attempt, heartbeat, engines)
            try:
                try:
                    result = left_out.counted(job, job_of(attempt.stage.spec)(job))
                finally:
                    job.finalize()
                spending.delete_call_texts(attempt)
                stages.finish(attempt, result)
            except (Interrupted, Stopped):
                heartbeat.should_stop()
                stages.stop(attempt, heartbeat.command)
            except Halt as halt:
                stages.pause_with_reason(attempt, str(halt), halt.code)
            except LeaseLost:
                raise
            except (BudgetReached, Unanswered) as error:  # no fault of the run: it can be resumed
                code = Reason.BUDGET if isinstance(error, BudgetReached) else Reason.UNANSWERED
                stages.pause_with_reason(attempt, logs.hide(str(error)), code)
            except (CannotContinue, EngineError, TrainingError) as error:
                code = next(code for kind, code in _FAILURES.items() if isinstance(error, kind))
                stages.fail(attempt, logs.hide(str(error)), code)
            except OperationalError as error:
                # The database was unreachable or busy for too long: the stage is tried again.
                stages.crash(attempt, f"The database did not answer ({str(error).strip()}).", Reason.DATABASE)
            except Exception as error:
                log.exception("stage %s failed", attempt.stage)
                reason = (
                    f"{type(error).__name__}: {error}. The traceback is stored with the attempt; resume to try again."
                )
                stages.fail(attempt, logs.hide(reason), Reason.ERROR, logs.hide(traceback.format_exc()))
    except LeaseLost as lost:
        log.warning("%s", lost)
