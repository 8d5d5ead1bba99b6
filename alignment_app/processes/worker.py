"""The worker: takes jobs from the queues, forks a process for each, and outlives the queue's server."""

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

TTL_SECONDS: Final = 60  # a worker unheard for this long (and a minute) is gone from the list
MONITOR_SECONDS: Final = 5  # how often a busy worker says that it is alive


class QueueWorker(Worker):
    """An RQ worker whose jobs die with it, and which waits while the queue's server is away.

    It starts no thread (so nothing is lost in a fork) and takes no commands over the queue: what people ask of a run
    stands in the database.
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
        """Wait for the server, for as long as it takes."""
        said = False
        while True:
            try:
                client.ping()
                return
            except (RedisError, OSError) as error:
                if not said:
                    log.warning("waiting for the queue's server: %s", error)
                    said = True
                time.sleep(1)

    def subscribe(self) -> None:
        pass

    def unsubscribe(self) -> None:
        pass

    def execute_job(self, job: Job, queue: Queue) -> None:
        """As in RQ; but what goes wrong between this worker and the queue's server never ends the worker."""
        try:
            super().execute_job(job, queue)
        except RedisError as error:
            log.warning("the queue's server went away during %s: %s", job.id, error)
            self._wait_for_job_process()
            self._connect(self.connection)
        # A job process that died is reported now, not when its lease runs out.
        try:
            ours, here = self._forked, reaping.this_host()
            reaping.reap_dead(here, alive=lambda pid: pid != ours, stopped=self._stop_requested)
        except DatabaseError as error:
            log.warning("could not look for a dead job process; the monitor will: %s", error)
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
            log.warning("no heartbeat to the queue's server: %s", error)

    def set_current_job_working_time(self, current_job_working_time: float, pipeline: Any = None) -> None:
        try:
            super().set_current_job_working_time(current_job_working_time, pipeline)
        except RedisError:
            self.current_job_working_time = current_job_working_time

    def handle_warm_shutdown_request(self) -> None:
        """Stop at once: the job process is ended, its saved rows stay, and the run goes on when a worker is back."""
        log.info("stopping")
        if self.horse_pid:
            self.kill_horse(signal.SIGKILL)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        # A connection that crosses a fork is shared by two processes, which neither database forgives.
        connections.close_all()
        os.environ["RQ_WORKER_NAME"] = self.name  # for the attempt's record
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
    """Take workers of this host whose process is gone off the queue's list, for RQ itself would show them for minutes.

    Returns how many. Raises ``RedisError`` where the server is away.
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
