"""The worker: takes jobs from the queues, forks a job process for each, and survives restarts of the queue server."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import DatabaseError, connections
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.job import Job

from alignment_app.processes.children import die_with_parent
from alignment_app.services import publish, queues, reaping

log = logging.getLogger(__name__)

TTL_SECONDS: Final = 60  # a worker silent for this long (plus a minute) leaves the list
MONITOR_SECONDS: Final = 5  # heartbeat interval of a busy worker


class QueueWorker(Worker):
    """An RQ worker whose job processes end with it, and which waits while the queue server is not available.

    It starts no thread (threads do not survive a fork) and accepts no commands from the queue: requests to pause or
    cancel are in the database.
    """

    max_connection_wait_time = 2.0
    log_result_lifespan = False

    def __init__(self, names: Sequence[str]) -> None:
        self._forked = 0
        client = Redis(connection_pool=queues.new_pool(socket_timeout=TTL_SECONDS))
        self._connect(client)
        super().__init__(
            [Queue(name, connection=client) for name in names],
            name=f"{reaping.this_host()}:{os.getpid()}:{secrets.token_hex(2)}",
            connection=client,
            worker_ttl=TTL_SECONDS,
            job_monitoring_interval=MONITOR_SECONDS,
        )

    @staticmethod
    def _connect(client: Redis) -> None:
        """Wait until the server is available, without a timeout."""
        said = False
        while True:
            try:
                client.ping()
                return
            except (RedisError, OSError) as error:
                if not said:
                    log.warning("waiting for the queue server: %s", error)
                    said = True
                time.sleep(1)

    def subscribe(self) -> None:
        pass

    def unsubscribe(self) -> None:
        pass

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run the job as RQ does, but never end the worker for a connection error of the queue server."""
        try:
            super().execute_job(job, queue)
        except RedisError as error:
            log.warning("lost the queue server during %s: %s", job.id, error)
            self._wait_for_job_process()
            self._connect(self.connection)
        # Report a dead job process now, before its lease expires.
        try:
            ours, here = self._forked, reaping.this_host()
            reaping.reap_dead(here, alive=lambda pid: pid != ours, stopped=self._stop_requested)
        except DatabaseError as error:
            log.warning("could not check for a dead job process; the monitor will: %s", error)
        finally:
            connections.close_all()

    def _wait_for_job_process(self) -> None:
        while self._horse_pid and reaping.is_alive(self._horse_pid):
            with contextlib.suppress(ChildProcessError, InterruptedError):
                os.waitpid(self._horse_pid, 0)
        self._horse_pid = 0

    def maintain_heartbeats(self, job: Job) -> None:
        try:
            super().maintain_heartbeats(job)
        except RedisError as error:
            log.warning("heartbeat to the queue server failed: %s", error)

    def set_current_job_working_time(self, current_job_working_time: float, pipeline: Any = None) -> None:
        try:
            super().set_current_job_working_time(current_job_working_time, pipeline)
        except RedisError:
            self.current_job_working_time = current_job_working_time

    def handle_warm_shutdown_request(self) -> None:
        """Stop immediately: kill the job process and keep its saved rows. The run resumes when a worker is back."""
        log.info("stopping")
        if self.horse_pid:
            self.kill_horse(signal.SIGKILL)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        # A connection used by two processes after a fork breaks both PostgreSQL and SQLite.
        connections.close_all()
        os.environ["RQ_WORKER_NAME"] = self.name  # stored with the attempt
        super().fork_work_horse(job, queue)
        self._forked = self._horse_pid

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent(self.pid)
        super().main_work_horse(job, queue)

    def perform_job(self, job: Job, queue: Queue) -> bool:
        try:
            return super().perform_job(job, queue)
        finally:
            publish.flush()


def forget_dead_workers() -> int:
    """Remove dead workers of this host from the queue's list, which RQ itself does only after minutes.

    Returns the number. Raises ``RedisError`` when the server is not available.
    """
    here = f"{reaping.this_host()}:"
    dead = [
        worker
        for worker in Worker.all(connection=queues.connection())
        if worker.name.startswith(here) and worker.pid and not reaping.is_alive(worker.pid)
    ]
    for worker in dead:
        worker.register_death()
    return len(dead)
