"""The worker: forks per job, survives the queue server, and ends its job process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rq import Queue, Worker

from alignment_app.models import Iteration, Run, Stage, StageAttempt
from alignment_app.processes import preload
from alignment_app.processes.worker import forget_dead_workers
from alignment_app.services import queues, reaping, stages

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.django_db(transaction=True)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


@pytest.fixture
def worker(valkey: Any, child_environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """``manage.py worker`` without the heavy libraries, on the test's database and queue."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "worker", "--no-preload"],
        cwd=ROOT,
        env=child_environment | {"LOG_LEVEL": "ERROR"},
    )
    wait_until(lambda: Worker.count(connection=queues.connection()) == 1)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def ask_for(function: str, *args: Any) -> None:
    Queue("light", connection=queues.connection()).enqueue_call(function, args=args, timeout=-1, result_ttl=0)


def job_processes(worker: subprocess.Popen[bytes]) -> list[int]:
    return [child.pid for child in psutil.Process(worker.pid).children()]


def test_a_job_runs_in_a_process_of_its_own_and_the_worker_takes_the_next(
    worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    ask_for("os.abort")
    ask_for("os.mkdir", str(tmp_path / "made"))
    wait_until((tmp_path / "made").exists)
    assert worker.poll() is None


def test_a_killed_worker_ends_its_job_process(worker: subprocess.Popen[bytes]) -> None:
    ask_for("time.sleep", 60)
    wait_until(lambda: bool(job_processes(worker)))
    [job_process] = job_processes(worker)
    worker.kill()
    worker.wait()
    wait_until(lambda: not reaping.is_alive(job_process), 5)
    assert forget_dead_workers() == 1
    assert Worker.count(connection=queues.connection()) == 0


def test_a_worker_that_is_asked_to_stop_does_so_at_once_though_a_job_runs(worker: subprocess.Popen[bytes]) -> None:
    ask_for("time.sleep", 60)
    wait_until(lambda: bool(job_processes(worker)))
    [job_process] = job_processes(worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert not reaping.is_alive(job_process)


def attempt_of(pid: int, status: str = "running") -> StageAttempt:
    run = Run.objects.create(
        name="r", config={"iterations": 1}, config_hash="0", paradigm="self_reward", status="queued"
    )
    iteration = Iteration.objects.create(run=run, number=0)
    Stage.objects.create(iteration=iteration, kind="evaluation", position=0, queue="light", status="queued")
    attempt = stages.claim(run.pk, "light", worker="w", host=reaping.this_host(), pid=pid)
    assert attempt
    Run.objects.filter(pk=run.pk).update(status=status)
    return attempt


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that, by the database, works on an attempt."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield sleeper
    if sleeper.poll() is None:
        sleeper.kill()
    sleeper.wait()


def test_an_attempt_whose_process_died_is_ended_before_its_lease_and_its_stage_queued_again(
    valkey: Any, process: subprocess.Popen[bytes]
) -> None:
    attempt = attempt_of(process.pid)
    assert reaping.reap_dead(reaping.this_host()) == 0
    process.kill()
    wait_until(lambda: not reaping.is_alive(process.pid))  # zombies count as dead
    assert reaping.reap_dead("another host") == 0
    assert reaping.reap_dead(reaping.this_host()) == 1
    attempt.refresh_from_db()
    assert attempt.outcome == StageAttempt.Outcome.CRASHED
    assert "died" in attempt.reason
    assert attempt.stage.status == Stage.Status.QUEUED
    assert attempt.stage.iteration.run.status == Run.Status.QUEUED
    assert queues.is_enqueued(attempt.stage.iteration.run_id, "light")


def test_stopping_workers_again_and_again_never_gives_a_run_up(valkey: Any, settings: Any) -> None:
    settings.MAX_FRUITLESS_CRASHES = 1
    attempt = attempt_of(4_000_000)
    assert reaping.reap_dead(reaping.this_host(), stopped=True) == 1
    attempt.refresh_from_db()
    assert attempt.outcome == StageAttempt.Outcome.PAUSED
    run = attempt.stage.iteration.run
    assert (run.status, run.status_reason) == (
        "queued",
        "The worker was stopped. The stage continues with the missing rows.",
    )
    stages.claim(run.pk, "light", worker="w", host=reaping.this_host(), pid=4_000_000)
    assert reaping.reap_dead(reaping.this_host()) == 1
    run.refresh_from_db()
    assert run.status == Run.Status.CRASHED


def test_a_cancel_is_enforced_only_after_its_grace(
    valkey: Any, process: subprocess.Popen[bytes], settings: Any
) -> None:
    from django.utils import timezone

    attempt = attempt_of(process.pid, "cancelling")
    Run.objects.update(cancel_requested_at=timezone.now())
    settings.CANCEL_GRACE_SECONDS = 30
    assert reaping.kill_overdue(reaping.this_host()) == 0
    settings.CANCEL_GRACE_SECONDS = 0
    assert reaping.kill_overdue("another host") == 0
    assert reaping.kill_overdue(reaping.this_host()) == 1
    wait_until(lambda: not reaping.is_alive(process.pid))
    assert reaping.reap_dead(reaping.this_host()) == 1
    attempt.refresh_from_db()
    run = attempt.stage.iteration.run
    assert run.status == Run.Status.CANCELLED
    assert "kept" in run.status_reason


def test_the_libraries_are_loaded_before_the_fork_without_starting_a_thread(child_environment: dict[str, str]) -> None:
    script = (
        "from alignment_app.processes import preload\n"
        "import django, sys\n"
        "preload.set_environment()\n"
        "django.setup()\n"
        "preload.preload()\n"
        "import torch\n"
        "assert 'training.jobs' in sys.modules and 'trl' in sys.modules\n"
        "assert not torch.cuda.is_initialized()\n"
        "print(preload.extra_threads())\n"
    )
    environment = {key: value for key, value in child_environment.items() if not key.startswith(("OMP", "OPENBLAS"))}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_threads_of_this_process_are_seen() -> None:
    import threading

    done = threading.Event()
    thread = threading.Thread(target=done.wait, daemon=True)
    before = len(preload.extra_threads())
    thread.start()
    assert len(preload.extra_threads()) == before + 1
    done.set()
    thread.join()
