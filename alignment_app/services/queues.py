"""Job queues of the workers: enqueue a job that makes a worker look for work of a run.

A job names a run and a queue; the worker reads the work from the database. A job can therefore be enqueued twice
safely, and the monitor enqueues jobs again that were lost with the queue server.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import Final

from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue

from alignment_app.models import Stage

log = logging.getLogger(__name__)

#: In the order of priority for a worker that serves several.
QUEUES: Final[tuple[str, ...]] = tuple(Stage.Queue.values)
#: Chat questions: not a stage of a run, and served by a separate worker, so that runs do not delay them.
INTERACTIVE: Final = "interactive"
#: Entry point of the job, by name, so that the web process does not import it.
ENTRY_POINT: Final = "training.jobs.work"
#: Timeout for the queue server (s).
PATIENCE_SECONDS: Final = 2.0

_pool: ConnectionPool | None = None


def connection() -> Redis:
    """Return a client on this process's connection pool (fork-safe). It connects on first use."""
    global _pool
    if _pool is None:
        _pool = new_pool(socket_timeout=PATIENCE_SECONDS)
    return Redis(connection_pool=_pool)


def new_pool(*, socket_timeout: float | None) -> ConnectionPool:
    """Return a connection pool for ``REDIS_URL``. It retries a broken connection once and then raises."""
    return ConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=socket_timeout,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def enqueue(run_id: int, queue: str) -> None:
    """Enqueue a job for the run on ``queue`` after the commit of the current transaction, if any.

    Does nothing if a job for the run already waits in the queue. Never raises: if the queue server is not available,
    the monitor enqueues the stage later.
    """
    transaction.on_commit(partial(_enqueue_now, run_id, queue))


def _enqueue_now(run_id: int, queue: str) -> None:
    try:
        if is_enqueued(run_id, queue):
            return
        # A new id per job: a running job with the same name must not be replaced.
        Queue(queue, connection=connection()).enqueue_call(
            ENTRY_POINT,
            args=(run_id, queue),
            job_id=f"{_prefix(run_id, queue)}{secrets.token_hex(4)}",
            description=f"run {run_id}, {queue}",
            timeout=-1,
            result_ttl=0,
            failure_ttl=3600,
        )
    except (RedisError, OSError) as error:
        log.warning("could not enqueue run %s on %s (%s); the monitor will retry", run_id, queue, error)


#: Job that compares two data sets, by name.
LEAKAGE_ENTRY_POINT: Final = "training.jobs.leakage.compare"


def enqueue_leakage(evaluation: int, training: int) -> None:
    """Enqueue the comparison of two data sets, by their keys, after the commit of the current transaction.

    Never raises: without a queue server the comparison is asked for again later.
    """
    transaction.on_commit(partial(_enqueue_leakage_now, evaluation, training))


def _enqueue_leakage_now(evaluation: int, training: int) -> None:
    try:
        Queue(Stage.Queue.LIGHT, connection=connection()).enqueue_call(
            LEAKAGE_ENTRY_POINT,
            args=(evaluation, training),
            description=f"leakage of data set {evaluation} into {training}",
            timeout=-1,
            result_ttl=0,
            failure_ttl=3600,
        )
    except (RedisError, OSError) as error:
        log.warning("could not enqueue the comparison of data sets %s and %s (%s)", evaluation, training, error)


def is_enqueued(run_id: int, queue: str) -> bool:
    """Return whether a job for this run waits in this queue. Raises ``RedisError`` when the server is not available."""
    prefix = _prefix(run_id, queue)
    return any(job_id.startswith(prefix) for job_id in Queue(queue, connection=connection()).job_ids)


def _prefix(run_id: int, queue: str) -> str:
    return f"run-{run_id}-{queue}-"


def is_up() -> bool:
    """Return whether the queue server responds."""
    try:
        return bool(connection().ping())
    except (RedisError, OSError):
        return False
