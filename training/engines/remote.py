"""What engines behind a network share: bounded concurrency, retries with back-off, and failures kept as completions."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from training.engines.base import Completion, Request, Sampling, Unanswered

#: Requests in a row that nobody answered, each asked several times, after which the provider counts as away.
AWAY_AFTER = 12


class TryAgain(Exception):
    """The provider may answer if asked again; ``after`` is the wait in seconds that it asked for, where it did.

    ``empty``: it did answer, with nothing in it. After the last try that counts as a refusal.
    """

    def __init__(self, reason: str, after: float | None = None, *, empty: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.empty = empty


class Refused(Exception):
    """This request will not be answered, however often it is asked."""


class RemoteEngine(ABC):
    """Asks a provider for each request on its own. A subclass says how to ask once.

    What cannot be had after ``attempts`` tries comes back as an error completion, so one bad request never costs the
    rest. Where so many in a row went unanswered that the provider must be away,
    :class:`training.engines.base.Unanswered` is raised, since every further one would cost minutes; an
    :class:`training.engines.base.EngineError` (a bad key, an unknown model) ends the whole generation.
    """

    name = "remote"

    def __init__(
        self, *, concurrency: int = 4, attempts: int = 6, base_delay: float = 0.5, max_delay: float = 60
    ) -> None:
        self.concurrency = concurrency
        self.attempts = attempts
        self.base_delay = base_delay
        self.max_delay = max_delay

    @abstractmethod
    def ask(self, request: Request, sampling: Sampling) -> Completion:
        """Ask once. Raises :class:`TryAgain`, :class:`Refused` or :class:`training.engines.base.EngineError`."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they arrive. Never more than ``concurrency`` in flight, so a stop wastes no more."""
        waiting = iter(requests)
        running: set[Future[Completion]] = set()
        away: list[Completion] = []  # in a row
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix=self.name)
        try:
            while True:
                for request in waiting:
                    running.add(pool.submit(self._persist, request, sampling))
                    if len(running) >= self.concurrency:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    completion = future.result()
                    away = [*away, completion] if completion.finish_reason == "error" and not completion.refused else []
                    yield completion
                    if len(away) >= max(AWAY_AFTER, 2 * self.concurrency):
                        raise Unanswered.of(away)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _persist(self, request: Request, sampling: Sampling) -> Completion:
        reason, refused = "", False
        for attempt in range(self.attempts):
            try:
                return self.ask(request, sampling)
            except Refused as refusal:
                reason, refused = str(refusal), True
                break
            except TryAgain as failure:
                reason, refused = f"{failure} (asked {attempt + 1} times)", failure.empty
                if attempt + 1 < self.attempts:
                    time.sleep(self._delay(attempt, failure.after))
        return Completion(request.key, "", 0, "error", request.seed, error=reason, refused=refused)

    def _delay(self, attempt: int, asked: float | None) -> float:
        """Exponential, with jitter so that workers do not come back together; at least what the provider asked for."""
        delay = self.base_delay * 2.0**attempt * random.uniform(0.5, 1.5)
        return min(max(delay, asked or 0.0), self.max_delay)
