"""What engines behind a network share: bounded concurrency, retries with back-off, and failures kept as completions."""

from __future__ import annotations

import queue
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from training.domain.rows import Message
from training.domain.secret import Secret
from training.domain.spending import Usage, worst_case
from training.engines.base import BudgetReached, Completion, EngineError, Inflow, Request, Sampling, Unanswered
from training.engines.metering import Call, Meter, Outcome

#: Requests in a row that nobody answered, each asked several times, after which the provider counts as away.
AWAY_AFTER = 12
#: Tries at a request that the provider blocks: its filters look at drawn text, and another draw may pass.
BLOCKED_TRIES = 3
#: The longest wait in seconds that a provider may ask for. Above it, it is away, and the run says so.
LONGEST_ASKED_WAIT = 900.0
#: How long answers on their way are waited for when nobody wants more, so that what is paid for is kept.
DRAIN_SECONDS = 5.0
_LOOK_SECONDS = 0.5


class TryAgain(Exception):
    """The provider may answer if asked again; ``after`` is the wait in seconds that it asked for, where it did.

    ``outcome`` says what became of this try. After the last one, empty and blocked count as a refusal.
    """

    def __init__(
        self,
        reason: str,
        after: float | None = None,
        *,
        outcome: Outcome = "failed",
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason)
        self.after, self.outcome, self.usage = after, outcome, usage


class Refused(Exception):
    """This request will not be answered, however often it is asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion, and what the provider says that it used (``None``: it does not say)."""

    completion: Completion
    usage: Usage | None


class RemoteEngine(ABC):
    """Asks a provider for each request on its own. A subclass says how to ask once.

    What cannot be had after ``attempts`` tries comes back as an error completion, so one bad request never costs the
    rest. An :class:`training.engines.base.EngineError` (a bad key, an unknown model) ends the whole generation, as do
    :class:`training.engines.base.Unanswered`, where the provider must be away, and
    :class:`training.engines.base.BudgetReached`; each is raised after what was in flight has come in.
    """

    name = "remote"
    in_flight = 0

    def __init__(
        self,
        *,
        key: Secret | None = None,
        system: str = "",
        concurrency: int = 4,
        attempts: int = 6,
        base_delay: float = 0.5,
        max_delay: float = 60,
    ) -> None:
        self.key = key
        self.system = system
        self.concurrency = concurrency
        self.attempts = attempts
        self.base_delay = base_delay
        self.max_delay = max_delay
        self.meter: Meter | None = None
        #: Whether to end at once, and whether to begin nothing more while what is in flight still comes in.
        self.should_stop: Callable[[], bool] = lambda: False
        self.has_enough: Callable[[], bool] = lambda: False
        #: Called when nothing has come for half a second.
        self.before_silence: Callable[[], None] = lambda: None

    @abstractmethod
    def ask(self, request: Request, sampling: Sampling) -> Answer:
        """Ask once. Raises :class:`TryAgain`, :class:`Refused` or :class:`training.engines.base.EngineError`."""

    @classmethod
    def count_models(cls, key: Secret, base_url: str, timeout: float) -> int:
        """How many models the provider at ``base_url`` lists for this key, within ``timeout`` seconds. Costs nothing.

        Raises what the provider's SDK raises where the key is refused or nothing answers, and
        :class:`training.engines.base.EngineError` where the provider has no such list.
        """
        raise EngineError("Keys of this provider cannot be tested.")

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    def messages(self, request: Request) -> tuple[Message, ...]:
        """The request's turns, with the system text that the engine was given before them."""
        system: Message = {"role": "system", "content": self.system}
        return (system, *request.messages) if self.system else request.messages

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they arrive. Never more than ``concurrency`` in flight, so a stop wastes no more."""
        batches = iter([requests] if requests else [])
        return self.follow(lambda: next(batches, None), sampling)

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """The same of requests that become known by and by. Asks for more whenever it has begun all that it knows."""
        flight = _Flight(self, inflow, sampling)
        try:
            yield from flight.completions()
        finally:
            flight.end()

    def hide(self, text: str) -> str:
        """``text`` without the key: servers repeat it in their errors."""
        return self.key.hide(text) if self.key else text

    def delay(self, tries: int, asked: float | None) -> float:
        """Seconds until the next try: exponential, with jitter so that workers do not come back together.

        At least what the provider asked for, which alone may go beyond ``max_delay``.
        """
        own = self.base_delay * 2.0 ** (tries - 1) * random.uniform(0.5, 1.5)
        return max(min(own, self.max_delay), asked or 0.0)


@dataclass(slots=True)
class _Try:
    request: Request
    worst: Usage
    tries: int = 0
    due: float = 0.0


class _Flight:
    """One generation. Threads only ask; counting, waiting and deciding is done by whoever draws the completions."""

    def __init__(self, engine: RemoteEngine, inflow: Inflow, sampling: Sampling) -> None:
        self.engine, self.sampling = engine, sampling
        self.inflow: Inflow | None = inflow  # None: no more will come
        self.fresh: deque[_Try] = deque()
        self.again: list[_Try] = []
        self.running: dict[Future[Answer], _Try] = {}
        self.done: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()  # asking all of `running` each time adds up
        self.away: list[Completion] = []  # in a row
        self.ending: EngineError | None = None
        self.not_before = 0.0
        self.pool = ThreadPoolExecutor(engine.concurrency, thread_name_prefix=engine.name)

    def completions(self) -> Iterator[Completion]:
        while True:
            if known := self._hear():
                yield from known
                continue
            if not (self.inflow or self.fresh or self.again or self.running):
                break
            pause = self._start()
            self.engine.in_flight = len(self.running)
            if self.running:
                future = self._ended(pause)
                if future and (completion := self._settled(future)):
                    yield completion
            else:
                future = None
                if not self.ending:
                    time.sleep(pause)
            if future is None:
                self.engine.before_silence()
            if self.engine.should_stop():
                self._end_with(Unanswered("The run was asked to stop."))
                break
            if self.engine.has_enough():
                self._end_with(Unanswered("No more was wanted."))
        if self.ending:
            raise self.ending

    def _hear(self) -> list[Completion]:
        """Take in requests that came, once all others have begun. Returns what is known of them already."""
        if self.fresh or self.inflow is None:
            return []
        came = self.inflow()
        if came is None:
            self.inflow = None
            return []
        known = self.engine.meter.known(came, self.sampling) if self.engine.meter else []
        answered = {completion.key for completion in known}
        limit = self.sampling.max_new_tokens
        self.fresh.extend(
            _Try(request, worst_case(self.engine.messages(request), limit))
            for request in came
            if request.key not in answered
        )
        return known

    def _end_with(self, error: EngineError) -> None:
        """Begin nothing more. What is in flight still comes in."""
        self.ending = self.ending or error
        self.inflow = None
        self.fresh.clear()
        self.again.clear()

    def _start(self) -> float:
        """Begin what may begin now. Returns for how many seconds to wait at most."""
        engine, now = self.engine, time.monotonic()
        self.again.sort(key=lambda one: one.due)
        while now >= self.not_before and len(self.running) < engine.concurrency:
            if self.again and self.again[0].due <= now:
                line: list[_Try] | deque[_Try] = self.again
            elif self.fresh and len(self.running) + len(self.again) < engine.concurrency:
                line = self.fresh
            else:
                break
            one = line[0]
            if engine.meter and not engine.meter.reserve(one.request, one.worst):
                if not self.running:  # else some of what is set aside comes back
                    self._end_with(BudgetReached(engine.meter.spent_reason()))
                break
            del line[0]
            one.tries += 1
            future = self.pool.submit(engine.ask, one.request, self.sampling)
            self.running[future] = one
            future.add_done_callback(self.done.put)
        due = [max(one.due, self.not_before) for one in self.again[:1]]
        if self.fresh and not self.running and not due:
            due = [self.not_before]
        return min(_LOOK_SECONDS, max(0.0, min(due) - now)) if due else _LOOK_SECONDS

    def _ended(self, pause: float) -> Future[Answer] | None:
        """The next one that has ended; waits for it ``pause`` seconds at most."""
        try:
            return self.done.get(timeout=pause)
        except queue.Empty:
            return None

    def _settled(self, future: Future[Answer]) -> Completion | None:
        """The completion of a try that ended, or ``None`` where it will be tried again or all ends."""
        one = self.running.pop(future)
        engine, request = self.engine, one.request
        try:
            answer = future.result()
        except TryAgain as failure:
            self._count(one, failure.outcome, failure.usage)
            return self._once_more(one, failure)
        except Refused as refusal:
            self._count(one, "failed")
            return self._came(self._error(request, str(refusal), refused=True))
        except EngineError as error:
            self._count(one, "failed")
            self._end_with(type(error)(engine.hide(str(error))))
            return None
        except BaseException:
            self._count(one, "lost")
            raise
        text = engine.hide(answer.completion.text)  # no honest server writes the key into an answer
        completion = answer.completion
        if text != completion.text:
            completion = Completion(
                request.key, text, completion.token_count, completion.finish_reason, request.seed, completion.logprob
            )
        self._count(one, "answered", answer.usage, completion)
        return self._came(completion)

    def _once_more(self, one: _Try, failure: TryAgain) -> Completion | None:
        engine = self.engine
        is_refusal = failure.outcome in ("empty", "blocked")
        reason = f"{failure} (asked {one.tries} times)"
        if failure.after and failure.after > LONGEST_ASKED_WAIT:
            reason = f"{failure} (asks to wait {failure.after:.0f} seconds)"
            self._end_with(Unanswered.of([self._error(one.request, reason)]))
            return None
        if failure.after:
            self.not_before = max(self.not_before, time.monotonic() + failure.after)
        most = min(engine.attempts, BLOCKED_TRIES) if failure.outcome == "blocked" else engine.attempts
        if one.tries >= most:
            return self._came(self._error(one.request, reason, refused=is_refusal))
        if self.ending is None:
            one.due = time.monotonic() + engine.delay(one.tries, failure.after)
            self.again.append(one)
        return None

    def _error(self, request: Request, reason: str, *, refused: bool = False) -> Completion:
        reason = self.engine.hide(reason)
        return Completion(request.key, "", 0, "error", request.seed, error=reason, refused=refused)

    def _came(self, completion: Completion) -> Completion:
        is_away = completion.finish_reason == "error" and not completion.refused
        self.away = [*self.away, completion] if is_away else []
        if len(self.away) >= max(AWAY_AFTER, 2 * self.engine.concurrency):
            self._end_with(Unanswered.of(self.away))
        return completion

    def _count(
        self, one: _Try, outcome: Outcome, usage: Usage | None = None, completion: Completion | None = None
    ) -> None:
        if self.engine.meter is None:
            return
        if usage is None:  # an error status costs nothing; of everything else that did not say, the worst is taken
            usage = Usage() if outcome in ("failed", "unsent") else one.worst
        self.engine.meter.settle(Call(one.request, outcome, usage, completion), one.worst)

    def end(self) -> None:
        """Begin nothing more; with a meter, take in what is on its way and count what never came."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.engine.in_flight = 0
        if self.engine.meter is None:
            return
        done, _ = wait(self.running, timeout=DRAIN_SECONDS)
        for future in done:
            if not future.cancelled():
                self._settled(future)
        for future, one in list(self.running.items()):
            self._count(one, "unsent" if future.cancelled() else "lost")
        self.running.clear()


def seconds_asked(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks to wait: a number, a number with "s", or a date. ``None``: it does not."""
    if not header:
        return None
    try:
        return max(0.0, float(header.strip().removesuffix("s")))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
