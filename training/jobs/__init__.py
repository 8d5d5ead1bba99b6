"""Where science and record meet: queue entry points that load what is missing, run the stage and save what it yields.

Services enqueue :func:`work` by its dotted name, ``training.jobs.work``; nobody imports this package.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from typing import Any

import django
from django.apps import apps
from django.db import OperationalError

if not apps.ready:  # a spawned worker does not set Django up by itself
    django.setup()

from alignment_app import logs
from alignment_app.models import Stage, StageAttempt
from alignment_app.services import reaping, spending, stages
from alignment_app.services.errors import LeaseLost
from alignment_app.services.heartbeat import AttemptHeartbeat, Interrupted
from training.engines.base import BudgetReached, EngineError, Unanswered
from training.engines.pool import EnginePool
from training.jobs.eft import build_rows, choose_ranked, fine_tune_on_ift, judge_ranked
from training.jobs.evaluate import evaluate
from training.jobs.gather import collect_responses, demonstrate, gather_prompts, judge_candidates, make_pairs
from training.jobs.stage_work import CannotGoOn, Halt, StageWork
from training.jobs.train import fine_tune, freeze_dataset, train_on_preferences
from training.trainers.results import Stopped, TrainingError

log = logging.getLogger(__name__)

DO = {
    Stage.Kind.PROMPTS: gather_prompts,
    Stage.Kind.RESPONSES: collect_responses,
    Stage.Kind.DEMONSTRATIONS: demonstrate,
    Stage.Kind.JUDGEMENTS: judge_candidates,
    Stage.Kind.PAIRS: make_pairs,
    Stage.Kind.DATASET: freeze_dataset,
    Stage.Kind.SFT: fine_tune,
    Stage.Kind.TRAINING: train_on_preferences,
    Stage.Kind.EVALUATION: evaluate,
}
#: What iteration 0 does otherwise: it makes the rows that teach judging, where the config asks for them.
DO_AT_START = {
    Stage.Kind.IFT: fine_tune_on_ift,
    Stage.Kind.PROMPTS: choose_ranked,
    Stage.Kind.JUDGEMENTS: judge_ranked,
    Stage.Kind.EFT: build_rows,
}


def work(run_id: int, queue: str) -> None:
    """Do what there is to do for this run on this queue: one stage after another while they are of the same queue."""
    with EnginePool() as engines:
        while attempt := stages.claim(
            run_id, queue, worker=os.environ.get("RQ_WORKER_NAME", "worker"), host=reaping.this_host(), pid=os.getpid()
        ):
            _perform(attempt, engines)


def _what_to_do(stage: Stage) -> Callable[[StageWork], dict[str, Any]]:
    kind = Stage.Kind(stage.kind)
    at_start = DO_AT_START.get(kind) if stage.iteration.number == 0 else None
    return at_start or DO[kind]


def _perform(attempt: StageAttempt, engines: EnginePool) -> None:
    """One attempt from claim to its end, whatever that is."""
    try:
        with AttemptHeartbeat(attempt) as heartbeat:
            job = StageWork(attempt, heartbeat, engines)
            try:
                try:
                    found = _what_to_do(attempt.stage)(job)
                finally:
                    job.settle()
                spending.forget_texts(attempt)
                stages.finish(attempt, **found)
            except (Interrupted, Stopped):
                heartbeat.should_stop()
                stages.stop(attempt, heartbeat.command)
            except Halt as halt:
                stages.pause_with_reason(attempt, str(halt))
            except LeaseLost:
                raise
            except (BudgetReached, Unanswered) as error:  # nothing is wrong with the run: it goes on when somebody says
                stages.pause_with_reason(attempt, logs.hide(str(error)))
            except (CannotGoOn, EngineError, TrainingError) as error:
                stages.fail(attempt, logs.hide(str(error)))
            except OperationalError as error:
                # The database was away or busy for too long: nothing is wrong with the stage, and it goes on.
                stages.crash(attempt, f"The database did not answer ({str(error).strip()}).")
            except Exception as error:
                log.exception("stage %s failed", attempt.stage)
                reason = (
                    f"{type(error).__name__}: {error}. The traceback is kept with the attempt; resume to try again."
                )
                stages.fail(attempt, logs.hide(reason), logs.hide(traceback.format_exc()))
    except LeaseLost as lost:
        log.warning("%s", lost)
