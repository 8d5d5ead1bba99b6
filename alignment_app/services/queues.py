"""The queues of the workers: enqueues a job that has a worker look for the work of a run.

A job names a run and a queue; the worker reads from the database what is to be done. So a job may be enqueued twice
without harm, and the monitor enqueues again what was lost with the queue's server.
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

#: In the order in which a worker that serves several of them empties them.
QUEUES: Final[tuple[str, ...]] = tuple(Stage.Queue.values)
#: Questions of people to a checkpoint: no stage of a run, and a worker of its own, so that no run keeps it waiting.
INTERACTIVE: Final = "interactive"
#: The job's entry point, by name: nothing on this side of the queue imports it.
ENTRY_POINT: Final = "training.jobs.work"
#: A caller waits no longer than this for the queue's server (s).
PATIENCE_SECONDS: Final = 2.0

_pool: ConnectionPool | None = None


def connection() -> Redis:
    """A client of the queue's server on this process's one pool (safe across forks). It connects when first used."""
    global _pool
    if _pool is None:
        _pool = new_pool(socket_timeout=PATIENCE_SECONDS)
    return Redis(connection_pool=_pool)


def new_pool(*, socket_timeout: float | None) -> ConnectionPool:
    """A pool for ``REDIS_URL``. It tries a broken connection anew once and then raises."""
    return ConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=socket_timeout,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def enqueue(run_id: int, queue: str) -> None:
    """Enqueue a job for the run on ``queue``, once the transaction (if any) is committed.

    Does nothing where a job for the same run waits on the queue. Never raises: without the queue's server the stage
    stays queued in the database and the monitor enqueues it again.
    """
    transaction.on_commit(partial(_enqueue_now, run_id, queue))


def _enqueue_now(run_id: int, queue: str) -> None:
    try:
        if is_enqueued(run_id, queue):
            return
        # A new id each time: a job of the same name that runs at this moment must stay as it is.
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
        log.warning("could not enqueue run %s on %s (%s); the monitor tries again", run_id, queue, error)


def is_enqueued(run_id: int, queue: str) -> bool:
    """Whether a job for this run waits on this queue. Raises ``RedisError`` where the server is away."""
    prefix = _prefix(run_id, queue)
    return any(job_id.startswith(prefix) for job_id in Queue(queue, connection=connection()).job_ids)


def _prefix(run_id: int, queue: str) -> str:
    return f"run-{run_id}-{queue}-"


def is_up() -> bool:
    """Whether the queue's server answers."""
    try:
        return bool(connection().ping())
    except (RedisError, OSError):
        return False
